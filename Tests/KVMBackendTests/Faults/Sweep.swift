import Custody
import CustodyPolicy
import SystemPackage
import Testing

@testable import KVMBackend

/// One guest whose operations are made to fail at every place, one after the other.
final class Sweep {
    /// Something that a back end does.
    enum Operation: Sendable, Hashable {
        /// Pages of one or several runs change hands, as one transaction.
        case convert(first: UInt64, count: UInt64, to: Ownership)
        case discard(first: UInt64, count: UInt64)
        case populate(first: UInt64, count: UInt64)

        /// Single runs in every direction, between neighbours of the same and of the other kind; several runs at once.
        static let all: [Operation] = [
            .convert(first: 2, count: 2, to: .private), .convert(first: 2, count: 2, to: .host),
            .convert(first: 4, count: 1, to: .shared), .convert(first: 4, count: 1, to: .host),
            .convert(first: 6, count: 2, to: .shared), .convert(first: 6, count: 2, to: .private),
            .convert(first: 0, count: 10, to: .private), .convert(first: 0, count: 10, to: .shared),
            .convert(first: 0, count: 10, to: .host),
            .discard(first: 0, count: 10), .populate(first: 0, count: 10),
        ]
    }

    /// What either side can see, and what the kernel knows.
    private struct View: Equatable {
        let guest: [GuestOutcome]
        let host: [[UInt8]?]
        let ownership: [Ownership?]
        let slots: [PageRange]
        let backings: [Backing]
        let descriptors: Set<Int>
        let mappings: Set<Int>
        let attributes: [Set<UInt64>]
        let slotsOfKernel: Int?
    }

    private static let pages: UInt64 = 12
    /// What the first pages are in before each operation.
    private static let pattern: [Ownership] = [
        .shared, .private, .shared, .shared, .private, .shared, .host, .host, .private, .private, .shared, .shared,
    ]

    let backend: KVMBackend
    private(set) var count = 0
    private let tested: ModeUnderTest
    private let kernel: SweepKernel
    private let fake: FakeKernel?
    private let controller: MemoryController

    /// So many injections at least: a sweep that finds fewer has not looked.
    var floor: Int {
        switch tested.mode {
        case .dual: 250
        case .revoked: 150
        case .attributes: 300
        case .inPlace: 200
        }
    }

    init(_ tested: ModeUnderTest) throws {
        self.tested = tested
        let base: any Kernel
        if tested.isFake {
            var features = FakeFeatures.for(tested.mode)
            features.hasPreFault = true
            let fake = try FakeKernel(features)
            (base, self.fake) = (fake, fake)
        } else {
            (base, fake) = (LinuxKernel(), nil)
        }
        kernel = SweepKernel(base)
        backend = try tested.backend(pages: 64, kernel: kernel)
        controller = MemoryController(backend: backend, policy: AllowAll())
    }

    /// Lets an operation fail at every place, with every error.
    func run(_ operation: Operation) throws {
        try reset()
        kernel.arm(nil)
        try perform(operation)
        let points = kernel.points
        let done = try view()
        for (point, errors) in points where point.kind != "KVM_RUN" {
            for errno in errors {
                try reset()
                let before = try view()
                kernel.arm(point, errno)
                let comment: Comment = "\(operation), \(point.kind) \(point.index), \(errno)"
                var failure: (any Error)?
                do { try perform(operation) } catch { failure = error }
                #expect(kernel.hasFailed, comment)
                kernel.arm(nil)
                count += 1
                let after = try view()
                if errno == .interrupted { #expect(failure == nil, comment) }
                if let failure {
                    let cause = try #require(Sweep.cause(of: failure), "\(comment): \(failure)")
                    #expect(cause.errno == errno, comment)
                    #expect(SweepKernel.kindIsNamed(cause, point), comment)
                    #expect(!cause.meaning.isEmpty, comment)
                    if case .discard = operation {
                        // Bytes may be gone; who owns them is not touched.
                        #expect(after.ownership == before.ownership && after.backings == before.backings, comment)
                    } else {
                        #expect(after == before, comment)
                    }
                    try perform(operation)
                    #expect(try view() == done, comment)
                } else {
                    #expect(after == done, comment)
                }
                if let fake, tested.mode == .attributes || tested.mode == .dual {
                    try expectNothingTwice(fake, comment)
                }
            }
        }
    }

    /// Memory that stands behind a page twice would be found here, once what is left over has been dropped.
    private func expectNothingTwice(_ fake: FakeKernel, _ comment: Comment) throws {
        try reset()
        for page in 0..<Sweep.pages { try put(1, page) }
        #expect(fake.presentPages <= 64, comment)
    }

    // MARK: Operations

    private func perform(_ operation: Operation) throws {
        switch operation {
        case .convert(let first, let count, let target): try convert(first, count, target)
        case .discard(let first, let count): try backend.discardContents(of: Guests.range(first, count))
        case .populate(let first, let count): try backend.populate(Guests.range(first, count))
        }
    }

    private func convert(_ first: UInt64, _ count: UInt64, _ target: Ownership) throws {
        let request = ConversionRequest(try Guests.range(first, count), to: target, by: .guest(processor: 0))
        switch try controller.convert(request).status {
        case .completed: return
        case .pending(let ticket, _):
            // A reference that is gone when it is looked for again.
            switch try #require(ticket.wait(for: .seconds(20))) {
            case .completed: return
            case .failed(let error): throw error
            default: throw Unexpected.outcome
            }
        default: throw Unexpected.outcome
        }
    }

    /// Puts every page into the pattern, with a byte of its own.
    private func reset() throws {
        kernel.arm(nil)
        for page in 0..<Sweep.pages {
            let target = Sweep.pattern[Int(page)]
            let current = controller.ownership(of: try Guests.range(page, 1).start)
            guard current != target else { continue }
            try convert(page, 1, target)
            // What the owner before last has left in this memory must not come back, whatever failed in between.
            let isConverted = (current == .private) != (target == .private)
            guard isConverted, backend.machine.ram.leavesStaleBytes else { continue }
            if target.allows(.guest) {
                #expect(try backend.guestRead(1, from: Guests.address(page)) == .bytes([0]))
            } else {
                #expect(try backend.hostRead(1, from: Guests.address(page)) == [0])
            }
        }
        for page in 0..<Sweep.pages { try put(UInt8(page) + 1, page) }
    }

    private func put(_ byte: UInt8, _ page: UInt64) throws {
        if Sweep.pattern[Int(page)].allows(.host) {
            try backend.hostWrite([byte], to: Guests.address(page))
        } else {
            #expect(try backend.guestWrite([byte], to: Guests.address(page)) == .written)
        }
    }

    private func view() throws -> View {
        let open = kernel.open
        let runs = backend.slotRuns
        return View(
            guest: try (0..<Sweep.pages).map { try backend.guestRead(1, from: Guests.address($0)) },
            host: (0..<Sweep.pages).map { try? backend.hostRead(1, from: Guests.address($0)) },
            ownership: try (0..<Sweep.pages).map { controller.ownership(of: try Guests.range($0, 1).start) },
            slots: runs.map(\.range),
            backings: runs.map(\.backing),
            descriptors: open.descriptors,
            mappings: open.mappings,
            attributes: fake?.convertedPages ?? [],
            slotsOfKernel: fake?.slots.count
        )
    }

    /// The system call at the bottom of an error.
    private static func cause(of error: any Error) -> KVMError? {
        switch error {
        case let error as KVMError: error
        case let error as BackendError: error.cause.flatMap(cause)
        case let error as ConversionError: error.cause.flatMap(cause)
        default: nil
        }
    }
}
