import Custody
import CustodyPolicy
import CustodyTestSupport
import SimulationBackend
import Testing

@Suite struct RateTests {
    /// In any span of time at most a burst is granted, and one more for each interval.
    @Test func noSpanOfTimeGrantsMoreThanTheRate() throws {
        var (random, note) = Seed.generator("rate")
        for _ in 0..<200 {
            let rate = Rate(
                UInt64.random(in: 1...50, using: &random),
                per: .microseconds(Int.random(in: 1...100, using: &random)),
                burst: UInt64.random(in: 1...10, using: &random)
            )
            var now: UInt64 = 0
            var used: Timestamp?
            var granted: [(time: UInt64, count: UInt64)] = []
            for _ in 0..<200 {
                now += UInt64.random(in: 0...(rate.interval * 3), using: &random)
                let count = UInt64.random(in: 1...rate.burst, using: &random)
                let time = Timestamp(rawValue: now)
                guard rate.available(at: time, used) >= count else { continue }
                used = rate.used(after: count, at: time, used)
                granted.append((now, count))
            }
            for first in granted.indices {
                var sum: UInt64 = 0
                for last in first..<granted.count {
                    sum += granted[last].count
                    let span = granted[last].time - granted[first].time
                    #expect(sum <= rate.burst + span / rate.interval, "\(note): \(rate)")
                }
            }
        }
    }

    /// An interval that is no whole number of nanoseconds is rounded up: the rate is never exceeded.
    @Test(arguments: [(3, 10, 4), (3, 9, 3), (7, 1, 1), (1, 10, 10)] as [(UInt64, Int, UInt64)])
    func theIntervalIsRoundedUp(count: UInt64, nanoseconds: Int, interval: UInt64) {
        #expect(Rate(count, per: .nanoseconds(nanoseconds), burst: 1).interval == interval)
    }

    /// The time that is named is the first one: a nanosecond before it is too early.
    @Test func theTimeIsExact() throws {
        var (random, note) = Seed.generator("exact time")
        for _ in 0..<2000 {
            let rate = Rate(
                UInt64.random(in: 1...50, using: &random),
                per: .nanoseconds(Int.random(in: 0...100_000, using: &random)),
                burst: UInt64.random(in: 1...10, using: &random)
            )
            let used = Timestamp(rawValue: UInt64.random(in: 0...1_000_000, using: &random))
            let count = UInt64.random(in: 1...rate.burst, using: &random)
            let time = try #require(rate.time(of: count, used))
            #expect(rate.available(at: time, used) >= count, "\(note): \(rate)")
            if time > .zero {
                #expect(rate.available(at: Timestamp(rawValue: time.rawValue - 1), used) < count, "\(note): \(rate)")
            }
            #expect(rate.time(of: rate.burst + 1, used) == nil)
        }
    }

    @Test(arguments: [
        (UInt64.max, Duration.seconds(Int64.max), UInt64.max), (0, .zero, 0), (1, .seconds(-1), .max),
        (.max, .zero, 1), (1, .seconds(Int64.max), .max),
    ])
    func noNumberTraps(count: UInt64, period: Duration, burst: UInt64) {
        let rate = Rate(count, per: period, burst: burst)
        for now in [0, 1, UInt64.max] {
            for used in [nil, 0, 1, UInt64.max] as [UInt64?] {
                let (now, used) = (Timestamp(rawValue: now), used.map(Timestamp.init(rawValue:)))
                #expect(rate.available(at: now, used) <= rate.burst)
                for units in [0, 1, UInt64.max] {
                    _ = rate.time(of: units, used)
                    #expect(rate.used(after: units, at: now, used) >= now)
                }
            }
        }
    }
}
