@testable import Custody
import Testing

@Suite struct DurationTextTests {
    @Test(arguments: [
        ("0s", Duration.zero), ("500ns", .nanoseconds(500)), ("10us", .microseconds(10)), ("20 ms", .milliseconds(20)),
        ("1s", .seconds(1)), ("3min", .seconds(180)), ("9223372036854775807ns", .nanoseconds(Int64.max)),
    ])
    func accepted(text: String, duration: Duration) { #expect(Duration(text: text) == duration) }

    @Test(arguments: [
        "", "1", "s", "-1s", "+1s", "1.5s", "1h", "1 S", "1s ", " 1s", "9223372036854775808ns", "9223372036854775807s",
        "153722867280912931min", "0x1s", "1sms",
    ])
    func refused(text: String) { #expect(Duration(text: text) == nil) }

    @Test func printed() {
        #expect(Duration.zero.text == "0 ns")
        #expect(Duration.nanoseconds(999).text == "999 ns")
        #expect(Duration.nanoseconds(1500).text == "1.5 us")
        #expect(Duration.milliseconds(20).text == "20 ms")
        #expect(Duration.milliseconds(1001).text == "1.001 s")
        #expect(Duration.nanoseconds(1_999_999_999).text == "2 s")
        #expect(Duration.nanoseconds(999_999_999).text == "1000 ms")
        #expect(Duration(secondsComponent: 0, attosecondsComponent: 1_500_000_000).text == "1.5 ns")
    }

    /// Sums of what files say may be longer than anything that one of them says.
    @Test func theLongestAreWords() {
        #expect(Duration.nanoseconds(Int64.max).text == "9223372036.855 s")
        #expect(Duration.seconds(Int64.max).text == "9223372036854775807 s")
        let last = Duration(secondsComponent: .max, attosecondsComponent: 999_999_999_999_999_999)
        #expect(last.text == "9223372036854775807.999 s")
        #expect(Duration.nanoseconds(-1500).text == "-1.5 us")
        #expect(Duration.nanoseconds(Int64.min).text == "-9223372036.855 s")
    }
}
