import CAllocations
import Custody
import CustodyPolicy

/// Nanoseconds for one of `count` calls of `body`.
func nanoseconds(_ count: Int, _ body: (Int) throws -> Void) rethrows -> Int {
    let began = ContinuousClock.now
    for index in 0..<count { try body(index) }
    let took = (ContinuousClock.now - began).components
    return Int((Double(took.seconds) * 1e9 + Double(took.attoseconds) / 1e9) / Double(count))
}

let pages: UInt64 = 1 << 12
let vmm = Holder(device: "vmm")

/// Guarded reads of 64 bytes, with so many pins elsewhere: what one costs, and how often one allocates.
func measureReads(pins count: UInt64) throws -> (nanoseconds: Int, allocations: UInt64) {
    let controller = MemoryController(backend: try FlatMemory(pages: pages), policy: AllowAll())
    var pins: [HostLeaseBox] = []
    for number in 0..<count {
        let page = PageNumber(number % (pages / 2))
        pins.append(HostLeaseBox(try controller.lease(PageRange(page), .pin, for: vmm)))
    }
    var bytes: [64 of UInt8] = .init(repeating: 0)
    func read(_ index: Int) throws {
        var span = bytes.mutableSpan
        try controller.read(&span, from: GuestPhysicalAddress(UInt64(index & 1023) * 4096 + 128), for: vmm)
    }
    for index in 0..<10_000 { try read(index) }
    let allocated = allocation_count()
    let took = try nanoseconds(1_000_000, read)
    let allocations = UInt64(allocation_count() - allocated)
    withExtendedLifetime(pins) {}
    return (took, allocations)
}

/// A lease that can lie in an array.
final class HostLeaseBox {
    private let lease: HostLease
    init(_ lease: consuming HostLease) { self.lease = lease }
}

var allocations: UInt64 = 0
for pins in [0, 100, 10_000, 50_000] as [UInt64] {
    let (took, allocated) = try measureReads(pins: pins)
    allocations += allocated
    print("a guarded read of 64 bytes beside \(pins) pins: \(took) ns")
}
print("allocations: \(allocations) in 4000000 guarded reads")

/// What a ledger costs with so many long pins of random pages.
for count in [100, 1_000, 10_000, 50_000, 100_000] as [Int] {
    var random = SystemRandomNumberGenerator()
    var ledger = LeaseLedger()
    var ids: [LeaseID] = []
    func range() -> PageRange? {
        try? PageRange(start: PageNumber(random.next(upperBound: 1 << 28)), count: 1 + random.next(upperBound: 16))
    }
    let entered = nanoseconds(count) { _ in
        guard let range = range() else { return }
        ids.append(
            ledger.enter(LeaseLedger.Entry(range: range, kind: .pin, holder: vmm, since: .zero))
        )
    }
    var found = 0
    let asked = nanoseconds(100_000) { _ in if let range = range(), ledger.isLeased(range) { found += 1 } }
    let listed = nanoseconds(10_000) { _ in if let range = range() { found += ledger.blockers(of: range).count } }
    let removed = nanoseconds(count) { index in _ = ledger.remove(ids[index]) }
    print("\(count) pins: \(entered) ns to enter, \(asked) ns to ask, \(listed) ns to list, \(removed) ns to remove")
}
