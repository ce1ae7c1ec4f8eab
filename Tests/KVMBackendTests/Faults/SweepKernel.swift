import Custody
import SystemPackage

@testable import KVMBackend

/// A kernel of which one call of one kind fails, and which knows what is open and mapped through it.
///
/// A close and an unmapping are carried out all the same: Linux gives the number back whatever it reports.
final class SweepKernel: Kernel {
    /// One place for a fault: the call of a kind, counted from 0.
    struct Point: Sendable, Hashable {
        let kind: String
        let index: Int
    }

    private struct State {
        var calls: [String: [SystemCall]] = [:]
        var fault: (point: Point, errno: Errno)?
        var hits = 0
        var descriptors: Set<Int> = []
        var mappings: Set<Int> = []
    }

    private let base: any Kernel
    private let state = Monitor(State())

    init(_ base: any Kernel) { self.base = base }

    /// What a call is counted as: the two kinds of `fallocate` apart.
    static func kind(_ call: SystemCall) -> String {
        switch call {
        case .allocate: "fallocate (allocate)"
        default: call.name
        }
    }

    /// Begins to count anew, and lets one call fail.
    func arm(_ point: Point?, _ errno: Errno = .noMemory) {
        state.update { state in
            state.calls = [:]
            state.hits = 0
            state.fault = point.map { ($0, errno) }
        }
    }

    /// Whether the fault has happened.
    var hasFailed: Bool { state.update { $0.hits > 0 } }

    /// Every place for a fault since the last ``arm(_:_:)``, with the errors that are possible there.
    var points: [(point: Point, errors: [Errno])] {
        state.update { state in
            state.calls.sorted { $0.key < $1.key }.flatMap { kind, calls in
                calls.enumerated().map { (Point(kind: kind, index: $0.offset), PossibleErrors.of($0.element)) }
            }
        }
    }

    /// The descriptors and mappings that are there.
    var open: (descriptors: Set<Int>, mappings: Set<Int>) { state.update { ($0.descriptors, $0.mappings) } }

    func perform(_ call: SystemCall) throws(Errno) -> Int {
        let kind = SweepKernel.kind(call)
        let errno: Errno? = state.update { state in
            let index = state.calls[kind, default: []].count
            state.calls[kind, default: []].append(call)
            guard let fault = state.fault, fault.point == Point(kind: kind, index: index) else { return nil }
            state.hits += 1
            return fault.errno
        }
        switch call {
        case .close(let descriptor):
            state.update { _ = $0.descriptors.remove(Int(descriptor)) }
            _ = try base.perform(call)
        case .munmap(let address, _):
            state.update { _ = $0.mappings.remove(Int(bitPattern: address)) }
            _ = try base.perform(call)
        default: break
        }
        if let errno { throw errno }
        switch call {
        case .close, .munmap: return 0
        default: break
        }
        let result = try base.perform(call)
        switch call {
        case .open, .duplicate, .memfdCreate, .ioctl(_, .createVM, _), .ioctl(_, .createVCPU, _),
            .ioctl(_, .createGuestMemfd, _):
            state.update { _ = $0.descriptors.insert(result) }
        case .mmap, .mmapPrivate: state.update { _ = $0.mappings.insert(result) }
        default: break
        }
        return result
    }
}
