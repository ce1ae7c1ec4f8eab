import CoreMetrics
import Synchronization

/// A metrics back end that keeps sums in memory and prints them: where a program has a real one (Prometheus, StatsD,
/// OpenTelemetry), it bootstraps that with `MetricsSystem.bootstrap` and changes nothing else.
final class PrintedMetrics: MetricsFactory {
    fileprivate final class Series: CounterHandler, MeterHandler, RecorderHandler, TimerHandler {
        private let values = Mutex<(count: Int64, sum: Double, last: Double)>((0, 0, 0))

        func note(_ value: Double) { values.withLock { $0 = ($0.count + 1, $0.sum + value, value) } }
        func increment(by amount: Int64) { note(Double(amount)) }
        func reset() { values.withLock { $0 = (0, 0, 0) } }
        func set(_ value: Int64) { note(Double(value)) }
        func set(_ value: Double) { note(value) }
        func increment(by amount: Double) { note(amount) }
        func decrement(by amount: Double) { note(-amount) }
        func record(_ value: Int64) { note(Double(value)) }
        func record(_ value: Double) { note(value) }
        func recordNanoseconds(_ duration: Int64) { note(Double(duration)) }

        var text: String {
            let (count, sum, last) = values.withLock { $0 }
            return "\(count) times, sum \(Int64(sum)), last \(Int64(last))"
        }
    }

    private let series = Mutex<[String: Series]>([:])

    private func make(_ kind: String, _ label: String, _ dimensions: [(String, String)]) -> Series {
        let values = dimensions.map { "\($0.0)=\($0.1)" }.joined(separator: ",")
        let name = "\(label){\(values)} \(kind)"
        return series.withLock { series in
            let one = series[name] ?? Series()
            series[name] = one
            return one
        }
    }

    func makeCounter(label: String, dimensions: [(String, String)]) -> any CounterHandler {
        make("counter", label, dimensions)
    }
    func makeMeter(label: String, dimensions: [(String, String)]) -> any MeterHandler {
        make("meter", label, dimensions)
    }
    func makeRecorder(label: String, dimensions: [(String, String)], aggregate: Bool) -> any RecorderHandler {
        make("recorder", label, dimensions)
    }
    func makeTimer(label: String, dimensions: [(String, String)]) -> any TimerHandler {
        make("timer, ns", label, dimensions)
    }
    func destroyCounter(_ handler: any CounterHandler) {}
    func destroyMeter(_ handler: any MeterHandler) {}
    func destroyRecorder(_ handler: any RecorderHandler) {}
    func destroyTimer(_ handler: any TimerHandler) {}

    /// A line for each series.
    var text: String {
        series.withLock { series in
            series.sorted { $0.key < $1.key }.map { "\($0.key): \($0.value.text)" }.joined(separator: "\n")
        }
    }
}
