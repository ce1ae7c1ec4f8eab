import CustodyTestSupport

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#endif

/// Many threads on one controller: short histories that are held against the specification, and many operations; or a
/// hostile guest beside honest threads.
///
///     CustodyStress [OPERATIONS [HISTORIES]]
///     CustodyStress adversary REQUESTS|SECONDSs [SEED]
let arguments = Array(CommandLine.arguments.dropFirst())

if arguments.first == "adversary" {
    guard let length = arguments.dropFirst().first.flatMap(AdversaryReport.Length.init) else { throw UsageError() }
    let seed = arguments.dropFirst(2).first.flatMap { UInt64($0) } ?? Seed.value()
    print("CUSTODY_SEED=\(seed)")
    let report = try AdversaryReport(length, seed: seed)
    print(report)
    // An error that is thrown from here is a trap, and what was printed before it may be lost.
    guard report.wrong.isEmpty else { exit(EXIT_FAILURE) }
} else {
    let numbers = arguments.map { UInt64($0) }
    let operations = numbers.first.flatMap { $0 } ?? 10_000_000
    let histories = numbers.dropFirst().first.flatMap { $0 } ?? 2_000
    let seed = Seed.value()
    print("CUSTODY_SEED=\(seed)")
    let report = try HistoryReport(count: histories, seed: seed)
    for line in report.firstWrong { print(line) }
    print("\(report.histories) histories of \(report.calls) calls by 8 threads, \(report.wrong) not linearizable")
    let stress = try StressReport(operations: operations, seed: seed)
    print(stress)
    guard report.wrong == 0, stress.wrong.isEmpty else { exit(EXIT_FAILURE) }
}

extension AdversaryReport.Length {
    /// `600s` is ten minutes; a number alone is a number of requests.
    init?(_ text: String) {
        if text.hasSuffix("s"), let seconds = UInt32(text.dropLast()) {
            self = .time(.seconds(seconds))
        } else if let count = UInt64(text) {
            self = .requests(count)
        } else {
            return nil
        }
    }
}

struct UsageError: Error, CustomStringConvertible {
    let description = "usage: CustodyStress adversary REQUESTS|SECONDSs [SEED]"
}
