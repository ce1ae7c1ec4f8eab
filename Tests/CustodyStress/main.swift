import CustodyTestSupport

/// Many threads on one controller: short histories that are held against the specification, and many operations.
///
///     CustodyStress [OPERATIONS [HISTORIES]]
let arguments = CommandLine.arguments.dropFirst().map { UInt64($0) }
let operations = arguments.first.flatMap { $0 } ?? 10_000_000
let histories = arguments.dropFirst().first.flatMap { $0 } ?? 2_000
let seed = Seed.value()
print("CUSTODY_SEED=\(seed)")

let report = try HistoryReport(count: histories, seed: seed)
for line in report.firstWrong { print(line) }
print("\(report.histories) histories of \(report.calls) calls by 8 threads, \(report.wrong) not linearizable")
let stress = try StressReport(operations: operations, seed: seed)
print(stress)
guard report.wrong == 0, stress.wrong.isEmpty else { throw StressFailure() }

struct StressFailure: Error {}
