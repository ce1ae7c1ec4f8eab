import CAllocations
import Foundation
import Custody
import CustodyPolicy
import CustodyTrace
import SimulationBackend

/// A guest of `pages` pages from address 0.
func guest(pages: UInt64) throws -> GuestConfiguration {
    GuestConfiguration(
        layout: try GuestMemoryLayout(regions: [PageRange(start: PageNumber(0), count: pages)]))
}

/// Conversions of single pages, there and back, through the controller: how many a second, and how often one allocates.
func measureConversions() throws {
    let backend = SimulationBackend(guest: try guest(pages: 1 << 18))
    let controller = MemoryController(backend: backend, policy: AllowAll())
    func convert(_ count: UInt64) throws {
        for index in 0..<count {
            let page = PageNumber((index / 2 &* 7919) & ((1 << 18) - 1))
            let target: Ownership = index % 2 == 0 ? .private : .shared
            _ = try controller.convert(
                ConversionRequest(PageRange(page), to: target, by: .guest(processor: 0)))
        }
    }
    try convert(10_000)
    let count = CommandLine.arguments.dropFirst().first.flatMap { UInt64($0) } ?? 1_000_000
    let allocated = allocation_count()
    let began = ContinuousClock.now
    try convert(count)
    let took = ContinuousClock.now - began
    let allocations = allocation_count() - allocated
    let rate = Double(count) / (Double(took.components.seconds) + Double(took.components.attoseconds) / 1e18)
    print("conversions of single pages: \(Int(rate)) a second")
    print("allocations: \(allocations) in \(count) conversions")
}

/// The resident memory of this process, in KiB.
func residentKiB() throws -> Int {
    let status = try String(contentsOfFile: "/proc/self/status", encoding: .utf8)
    let line = status.split(separator: "\n").first { $0.hasPrefix("VmRSS:") }
    return line.flatMap { Int($0.filter(\.isNumber)) } ?? 0
}

/// A guest of 1 TiB with 100 000 scattered shared runs: how long it takes to make, and what it costs.
func measureLargeGuest() throws {
    let before = try residentKiB()
    let began = ContinuousClock.now
    let configuration = try guest(pages: 1 << 28)
    var ownership = PageRunMap(bounds: configuration.layout.bounds, state: Ownership.private)
    var random = SplitMix64(seed: 1)
    var runs = 0
    while runs < 100_000 {
        let start = random.next() & ((1 << 28) - 1)
        ownership.set(try PageRange(start: PageNumber(start), count: 1), to: .shared)
        runs += 1
    }
    let backend = SimulationBackend(guest: configuration, ownership: ownership)
    let controller = MemoryController(backend: backend, policy: AllowAll())
    let took = ContinuousClock.now - began
    print("1 TiB with \(ownership.runCount) runs: made in \(took), \((try residentKiB() - before) / 1024) MiB resident")
    withExtendedLifetime(controller) {}
}

/// The same conversions with a trace that nothing is missing from, and with one that may drop what it cannot keep up
/// with.
func measureTraces() throws {
    let count: UInt64 = 20_000
    func rate(_ observer: TraceWriter?, _ backend: SimulationBackend) throws -> Double {
        let controller = MemoryController(backend: backend, policy: AllowAll(), observer: observer)
        let began = ContinuousClock.now
        for index in 0..<count {
            let page = PageNumber((index / 2 &* 7919) & ((1 << 18) - 1))
            let target: Ownership = index % 2 == 0 ? .private : .shared
            _ = try controller.convert(ConversionRequest(PageRange(page), to: target, by: .guest(processor: 0)))
        }
        let took = ContinuousClock.now - began
        if let observer { try observer.close(ownership: controller.runs(in: controller.layout.bounds)) }
        return Double(count) / (Double(took.components.seconds) + Double(took.components.attoseconds) / 1e18)
    }
    let without = try rate(nil, SimulationBackend(guest: try guest(pages: 1 << 18)))
    for (name, whenFull) in [("complete", TraceWriterOptions.WhenFull.wait), ("that may drop", .drop)] {
        let path = FileManager.default.temporaryDirectory.path + "/custody-benchmark-\(getpid()).jsonl"
        defer { try? FileManager.default.removeItem(atPath: path) }
        let backend = SimulationBackend(guest: try guest(pages: 1 << 18))
        let writer = try TraceWriter(
            appendingTo: path,
            header: TraceHeader(of: backend, named: "simulation"),
            options: TraceWriterOptions(capacity: 4096, whenFull: whenFull)
        )
        let with = try rate(writer, backend)
        let status = writer.status
        print(
            "with a trace \(name): \(Int(with)) conversions a second, 1/\(Int((without / with).rounded())) of those "
                + "without; \(status.lines) lines, \(status.dropped) events dropped")
    }
}

try measureConversions()
if CommandLine.arguments.count < 2 {
    try measureTraces()
    try measureLargeGuest()
}
