import CAllocations
import Custody
import CustodyPolicy
import Dispatch
import FlatMemory
import Synchronization

/// Nanoseconds for one of `count` calls of `body`.
func nanoseconds(_ count: Int, _ body: (Int) throws -> Void) rethrows -> Double {
    let began = ContinuousClock.now
    for index in 0..<count { try body(index) }
    let took = (ContinuousClock.now - began).components
    return (Double(took.seconds) * 1e9 + Double(took.attoseconds) / 1e9) / Double(count)
}

let pages: UInt64 = 1 << 12
let vmm = Holder(device: "vmm")

/// A copy of so many bytes of the page at an index.
func copy(_ bytes: inout [UInt8], _ index: Int, _ read: (inout MutableSpan<UInt8>, GuestPhysicalAddress) throws -> Void)
    rethrows
{
    var span = bytes.mutableSpan
    try read(&span, GuestPhysicalAddress(UInt64(index & 1023) * 4096 + 128))
}

/// What a guarded read costs, and the same read of the back end without the guard; how often the guarded one allocates.
struct Cost {
    var guarded = 0.0
    var bare = 0.0
    var allocations: UInt64 = 0

    /// The best of many short rounds of each, in turn: what else runs on the machine is not to be in it.
    init(_ controller: MemoryController, byteCount: Int) throws {
        var bytes = [UInt8](repeating: 0, count: byteCount)
        let memory: any HostMemory = controller.backend
        let count = 2_000
        (guarded, bare) = (.infinity, .infinity)
        for _ in 0..<1_000 {
            bare = try min(bare, nanoseconds(count) { try copy(&bytes, $0) { try memory.read(&$0, from: $1) } })
            let before = allocation_count()
            let took = try nanoseconds(count) {
                try copy(&bytes, $0) { try controller.read(&$0, from: $1, for: vmm) }
            }
            allocations += UInt64(allocation_count() - before)
            guarded = min(guarded, took)
        }
    }
}

/// A controller whose host holds so many pins, all of them elsewhere.
func withPins<Result>(_ count: UInt64, _ body: (MemoryController) throws -> Result) throws -> Result {
    let controller = MemoryController(backend: try FlatMemory(pages: pages), policy: AllowAll())
    var pins: [HostLeaseBox] = []
    for number in 0..<count {
        let page = PageNumber(pages / 2 + number % (pages / 2))
        pins.append(HostLeaseBox(try controller.lease(PageRange(page), .pin, for: vmm)))
    }
    return try withExtendedLifetime(pins) { try body(controller) }
}

/// A lease that can lie in an array.
final class HostLeaseBox {
    private let lease: HostLease
    init(_ lease: consuming HostLease) { self.lease = lease }
}

func rounded(_ number: Double) -> String { "\((number * 10).rounded() / 10)" }

var allocations: UInt64 = 0
for (byteCount, pins) in [(8, 0), (64, 0), (64, 10_000), (64, 50_000), (4096, 0)] as [(Int, UInt64)] {
    let cost = try withPins(pins) { try Cost($0, byteCount: byteCount) }
    allocations += cost.allocations
    print(
        "a guarded read of \(byteCount) bytes beside \(pins) pins: \(rounded(cost.guarded)) ns, "
            + "without the guard \(rounded(cost.bare)) ns: the guard costs \(rounded(cost.guarded - cost.bare)) ns"
    )
}
print("allocations: \(allocations) in 10000000 guarded reads")

/// Reads of 64 bytes by threads at the same time, and what one of them costs its thread.
func measureThreads(_ count: Int) throws -> Double {
    let controller = MemoryController(backend: try FlatMemory(pages: pages), policy: AllowAll())
    let reads = 1_000_000
    let took = Mutex(0.0)
    let threads = DispatchGroup()
    for _ in 0..<count {
        DispatchQueue.global().async(group: threads) {
            var bytes = [UInt8](repeating: 0, count: 64)
            let mine = nanoseconds(reads) {
                copy(&bytes, $0) { bytes, address in try? controller.read(&bytes, from: address, for: vmm) }
            }
            took.withLock { $0 += mine }
        }
    }
    threads.wait()
    return took.withLock { $0 } / Double(count)
}
for count in [1, 2] {
    print("\(count) threads that read 64 bytes each at the same time: \(rounded(try measureThreads(count))) ns a read")
}

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
    print(
        "\(count) pins: \(rounded(entered)) ns to enter, \(rounded(asked)) ns to ask, \(rounded(listed)) ns to list, "
            + "\(rounded(removed)) ns to remove"
    )
}
