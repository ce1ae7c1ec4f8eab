import CheckerDifferential
import Foundation

// CustodyDifferential [COUNT [SEED]]: compares the verdicts and the shortest lengths of COUNT random sets of actors with
// and without reduction. Without a SEED it takes one by chance. It ends with 1 at the first difference, which it shows
// with the smallest set that has it.

let arguments = CommandLine.arguments.dropFirst().map { UInt64($0) }
guard arguments.count <= 2, arguments.allSatisfy({ $0 != nil }) else {
    FileHandle.standardError.write(Data("usage: CustodyDifferential [COUNT [SEED]]\n".utf8))
    exit(64)
}
let count = Int(clamping: (arguments.first ?? nil) ?? 2_000)
let seed = (arguments.dropFirst().first ?? nil) ?? UInt64.random(in: .min ... .max)
let comparisons = RandomComparisons(seed: seed, count: count, maximumStates: 5_000)
print("seed \(seed): \(comparisons.count) sets compared, \(comparisons.states) states")
if let found = comparisons.difference {
    print("DIFFERENT: \(found.set)\n    \(found.difference ?? "")")
    exit(1)
}
print("no difference")
