import Custody
import CustodyPolicy
import FlatMemory
import Foundation
import SimulationBackend
import Synchronization

/// Threads that each convert pages of their own, there and back, on one controller.
///
///     ContentionBenchmark [CONVERSIONS]
///
/// For 1, 2, 4 and 8 threads it prints how many conversions all of them make in a second, that as a share of what one
/// thread makes, and how often a thread gave up its processor to wait. Twice: with nothing else to do, and beside
/// threads that keep every processor busy. Where locks are handed from sleeper to sleeper, each conversion costs several
/// sleeps. How many there are depends on what else runs on the machine, so no number of them is a failure.
let arguments = CommandLine.arguments.dropFirst()
let conversions = arguments.first.flatMap { UInt64($0) } ?? 400_000
let pagesPerThread: UInt64 = 512

/// How often threads of this process have gone to sleep.
func sleeps() -> Int {
    var usage = rusage()
    getrusage(__rusage_who_t(RUSAGE_SELF.rawValue), &usage)
    return usage.ru_nvcsw
}

/// Threads that do nothing but compute.
final class Load: Sendable {
    private let isOver = Atomic<Bool>(false)
    private let threads = DispatchGroup()

    init(_ count: Int) {
        for _ in 0..<count {
            let thread = Foundation.Thread { [self] in
                while !isOver.load(ordering: .relaxed) {}
                threads.leave()
            }
            threads.enter()
            thread.start()
        }
    }

    func end() {
        isOver.store(true, ordering: .relaxed)
        threads.wait()
    }
}

/// What came of one run: conversions a second, and sleeps in a thousand of them.
func measure(_ threads: UInt64, _ backend: any MemoryBackend) -> (rate: Double, sleeps: Double) {
    let controller = MemoryController(backend: backend, policy: AllowAll())
    let share = conversions / threads
    let failures = Atomic<UInt64>(0)
    let all = DispatchGroup()
    let before = sleeps()
    let began = ContinuousClock.now
    for thread in 0..<threads {
        all.enter()
        Foundation.Thread {
            for index in 0..<share {
                let page = PageNumber(thread * pagesPerThread + index / 2 % pagesPerThread)
                let target: Ownership = index % 2 == 0 ? .private : .shared
                do {
                    _ = try controller.convert(
                        ConversionRequest(PageRange(page), to: target, by: .guest(processor: Int(thread)))
                    )
                } catch { failures.add(1, ordering: .relaxed) }
            }
            all.leave()
        }.start()
    }
    all.wait()
    let took = (ContinuousClock.now - began).components
    let seconds = Double(took.seconds) + Double(took.attoseconds) / 1e18
    let failed = failures.load(ordering: .relaxed)
    if failed > 0 { print("\(failed) conversions failed") }
    return (Double(share * threads) / seconds, Double(sleeps() - before) * 1000 / Double(share * threads))
}

func rounded(_ number: Double) -> String { "\((number * 100).rounded() / 100)" }

let pages = 8 * pagesPerThread
let backends: [(name: String, make: () throws -> any MemoryBackend)] = [
    ("nothing to carry out", { try FlatMemory(pages: pages) }),
    (
        "the simulation",
        {
            let layout = try GuestMemoryLayout(regions: [PageRange(start: PageNumber(0), count: pages)])
            return SimulationBackend(guest: GuestConfiguration(layout: layout))
        }
    ),
]
for isBusy in [false, true] {
    let load = isBusy ? Load(ProcessInfo.processInfo.activeProcessorCount) : nil
    for (name, make) in backends {
        var one = 0.0
        for threads in [1, 2, 4, 8] as [UInt64] {
            let result = measure(threads, try make())
            if threads == 1 { one = result.rate }
            print(
                "\(name)\(isBusy ? ", beside other work" : ""): \(threads) threads make \(Int(result.rate)) conversions "
                    + "a second, \(rounded(result.rate / one)) of what one makes; "
                    + "\(rounded(result.sleeps)) sleeps in 1000 conversions"
            )
        }
    }
    load?.end()
}
