import Custody
import Testing

@Suite struct TimestampTests {
    @Test func advancesInNanosecondsAndSaturates() {
        let start = Timestamp(rawValue: 5)
        #expect(start.advanced(by: .nanoseconds(7)) == Timestamp(rawValue: 12))
        #expect(start.advanced(by: .seconds(2)) == Timestamp(rawValue: 2_000_000_005))
        #expect(start.advanced(by: .seconds(Int64.max)) == Timestamp(rawValue: .max))
        #expect(start.advanced(by: .seconds(-1)) == start)
        #expect(start.advanced(by: .nanoseconds(-1)) == start)
        #expect(Timestamp(rawValue: .max).advanced(by: .nanoseconds(1)) == Timestamp(rawValue: .max))
    }

    @Test func differencesAreNeverNegative() {
        #expect(Timestamp(rawValue: 9).since(Timestamp(rawValue: 4)) == .nanoseconds(5))
        #expect(Timestamp(rawValue: 4).since(Timestamp(rawValue: 9)) == .zero)
        #expect(Timestamp(rawValue: .max).since(.zero) == .nanoseconds(Int64.max))
    }
}
