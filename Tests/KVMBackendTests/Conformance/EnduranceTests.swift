import Custody
import Glibc
import Testing

@testable import KVMBackend

/// What only shows after many times.
@Suite(.needsKVM, .timeLimit(.minutes(60))) struct EnduranceTests {
    /// A processor never leaves its range, while the range and its neighbours change hands: it never finds it gone.
    @Test func tenThousandConversionsUnderARunningGuest() throws {
        let backend = try Guests.backend(.dual, processors: 2)
        let own = try Guests.range(100, 4)
        let counter = own.address
        let end = Monitor(Optional<Result<GuestCommandResult, BackendError>>.none)
        try Thread.start {
            let forever = GuestCommand.hammer(passes: .max, address: counter.rawValue, count: own.byteCount)
            do throws(BackendError) {
                let result = try backend.execute(forever, on: 1, answeringTo: Refusing())
                end.update { $0 = .success(result) }
            } catch { end.update { $0 = .failure(error) } }
        }
        func isAtWork() throws -> Bool {
            let before = try backend.hostRead(8, from: counter)
            return try waits { try backend.hostRead(8, from: counter) != before }
        }
        try #require(try isAtWork())
        let neighbours = [try Guests.range(96, 4), try Guests.range(104, 4)]
        var conversions = 0
        for round in 0..<2500 {
            let neighbour = neighbours[round % 2]
            for target in [Ownership.private, .shared] {
                let source: Ownership = target == .private ? .shared : .private
                // The processor's pages join the neighbour's slot, and leave it again.
                try backend.change(neighbour, from: source, to: target)
                try backend.change(own, from: source, to: target)
                conversions += 2
            }
            try #require(end.update { $0 == nil }, "after \(conversions) conversions")
            if round % 250 == 0 { try #require(try isAtWork()) }
        }
        #expect(conversions == 10_000)
        #expect(backend.slotRuns.count == 1)
        backend.shutDown()
        // Only the shut-down ended it: no fault, no exit of any other kind.
        let result = try #require(end.wait(for: .seconds(20)) { $0 })
        let error = #expect(throws: BackendError.self) { try result.get() }
        #expect(error?.message == "the guest has been shut down")
    }

    /// In a process of its own: other tests open descriptors and start threads meanwhile.
    ///
    /// 1,000 whole back ends, 9,000 bare virtual machines with a processor, a file and a slot, and 90,000 conversions: each
    /// of those makes slots and removes others.
    @Test(.timeLimit(.minutes(60))) func aHundredThousandLivesLeaveNothingBehind() async {
        await #expect(processExitsWith: .success) {
            func backEnds(_ count: Int) throws {
                for number in 0..<count {
                    let backend = try Guests.backend(number % 2 == 0 ? .dual : .revoked, processors: 2)
                    try backend.change(Guests.range(3, 5), from: .shared, to: .private)
                    guard try backend.guestWrite([1], to: Guests.address(4), on: 1) == .written else { exit(64) }
                }
            }
            func machines(_ count: Int) throws {
                let device = try KVMDevice(kernel: LinuxKernel())
                for _ in 0..<count {
                    let machine = try device.makeVirtualMachine()
                    let file = try machine.makeGuestMemoryFile(.guestMemfd(flags: BareMachine.touchable), size: 8192)
                    try machine.addSlot(
                        1,
                        guestAddress: 0,
                        size: 8192,
                        hostAddress: file.map.address,
                        guestMemfd: file,
                        offset: 0
                    )
                    _ = try machine.makeProcessor(0)
                }
            }
            func conversions(_ count: Int, _ backend: KVMBackend) throws {
                for number in 0..<count / 2 {
                    let range = try Guests.range(UInt64(number) * 7 % 500, 1 + UInt64(number) % 12)
                    try backend.change(range, from: .shared, to: number % 3 == 0 ? .host : .private)
                    try backend.change(range, from: number % 3 == 0 ? .host : .private, to: .shared)
                }
            }
            let backend = try Guests.backend(.dual)
            // What the allocator and the thread library keep, they have after some.
            try backEnds(50)
            try machines(200)
            try conversions(2000, backend)
            let before = try ProcessResources()
            try backEnds(1000)
            try machines(9000)
            try conversions(90_000, backend)
            guard backend.slotRuns.count == 1 else { exit(65) }
            // Threads are not waited for beyond their last word: give them the time to be gone.
            var left = try ProcessResources().excess(over: before)
            _ = try waits {
                left = try ProcessResources().excess(over: before)
                return left == 0
            }
            exit(left)
        }
    }
}

/// What this process has of the kernel.
struct ProcessResources {
    /// The number of open descriptors.
    let descriptors: Int
    /// The number of threads.
    let threads: Int
    /// The number of mappings of KVM's files, of guest memory, and of memory that is shared but nameless.
    let guestMappings: Int
    /// The number of all other mappings.
    let otherMappings: Int
    /// The resident memory, in bytes.
    let residentBytes: Int

    init() throws {
        descriptors = try ProcessResources.entries("/proc/self/fd")
        threads = try ProcessResources.entries("/proc/self/task")
        let lines = try ProcessResources.lines("/proc/self/maps")
        let marks = ["kvm", "custody-guest", "/dev/zero"]
        guestMappings = lines.count { line in marks.contains { line.contains($0) } }
        otherMappings = lines.count - guestMappings
        let pages = try ProcessResources.lines("/proc/self/statm").first?.split(separator: " ").dropFirst().first
        residentBytes = (pages.flatMap { Int($0) } ?? 0) * 4096
    }

    /// Which there are more of than before: 0 for none, or 1 for descriptors, 2 for threads, 4 for mappings of ours, 8 for
    /// other mappings, 16 for memory, summed up. A few other mappings more are the allocator's, and so are some mebibytes: a
    /// hundred thousand lives that leave a hundred bytes each would be more.
    func excess(over before: ProcessResources) -> Int32 {
        (descriptors > before.descriptors ? 1 : 0) + (threads > before.threads ? 2 : 0)
            + (guestMappings > before.guestMappings ? 4 : 0) + (otherMappings > before.otherMappings + 32 ? 8 : 0)
            + (residentBytes > before.residentBytes + (8 << 20) ? 16 : 0)
    }

    private static func entries(_ path: String) throws -> Int {
        guard let directory = unsafe opendir(path) else { throw Unexpected.outcome }
        defer { unsafe closedir(directory) }
        var count = 0
        while unsafe readdir(directory) != nil { count += 1 }
        return count
    }

    private static func lines(_ path: String) throws -> [Substring] {
        guard let file = unsafe fopen(path, "r") else { throw Unexpected.outcome }
        defer { unsafe fclose(file) }
        var bytes: [UInt8] = []
        var part = [UInt8](repeating: 0, count: 1 << 16)
        while true {
            let count = unsafe fread(&part, 1, part.count, file)
            guard count > 0 else { break }
            bytes += part.prefix(count)
        }
        return String(decoding: bytes, as: UTF8.self).split(separator: "\n")
    }
}
