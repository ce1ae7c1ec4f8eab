import Custody

/// The calls of policies, listeners and observers that a thread is in the middle of, and for which controller.
///
/// Each call is a record on the thread's stack, and a word of the thread leads to the innermost. Whoever asks takes no
/// lock and is answered right on every thread.
@safe enum ForeignCall {
    /// Whose code is called.
    enum Callee: String, Sendable {
        /// It decides with the controller's lock held.
        case policy
        case listener
        case observer
    }

    @unsafe private struct Record {
        let controller: ObjectIdentifier
        let callee: Callee
        /// What the controller knows, for a policy: whoever calls it has the lock.
        let state: UnsafePointer<ControllerState>?
        let outer: UInt
    }

    private static let slot = ThreadSlot()

    /// Runs `body`, which calls foreign code for a controller.
    @inline(__always)
    static func run<Result, Failure: Error>(
        _ callee: Callee,
        of controller: ObjectIdentifier,
        _ body: () throws(Failure) -> Result
    ) throws(Failure) -> Result {
        try unsafe enter(Record(controller: controller, callee: callee, state: nil, outer: slot?.word ?? 0), body)
    }

    /// Runs `body`, in which a policy decides; what it asks the controller is answered from `state`.
    @inline(__always)
    static func run<Result>(
        of controller: ObjectIdentifier,
        decidingOn state: inout ControllerState,
        _ body: () -> Result
    ) -> Result {
        unsafe withUnsafePointer(to: &state) { state in
            unsafe enter(
                Record(controller: controller, callee: .policy, state: state, outer: slot?.word ?? 0),
                body
            )
        }
    }

    @inline(__always) @unsafe
    private static func enter<Result, Failure: Error>(
        _ record: Record,
        _ body: () throws(Failure) -> Result
    ) throws(Failure) -> Result {
        guard let slot else { return try body() }
        return try unsafe withUnsafePointer(to: record) { pointer throws(Failure) in
            slot.word = UInt(bitPattern: pointer)
            defer { unsafe slot.word = pointer.pointee.outer }
            return try body()
        }
    }

    /// Whose code the calling thread is in for a controller, the innermost; `nil` where it is in none.
    ///
    /// Where the system had no word for it, each caller counts as a policy: nothing changes hands that could hang.
    ///
    /// - Complexity: O(*d*) in the number of calls that the thread is in.
    static func callee(of controller: ObjectIdentifier) -> Callee? {
        guard let slot else { return .policy }
        return unsafe find(controller, slot) { unsafe $0.callee }
    }

    /// What the controller knows, where the calling thread is in its policy and so has its lock.
    @unsafe static func state(of controller: ObjectIdentifier) -> UnsafePointer<ControllerState>? {
        guard let slot else { return nil }
        return unsafe find(controller, slot) { unsafe $0.state }
    }

    /// The first value that `body` has for a call of the controller, from the innermost outwards.
    @inline(__always) @unsafe
    private static func find<Value>(_ controller: ObjectIdentifier, _ slot: ThreadSlot, _ body: (Record) -> Value?)
        -> Value?
    {
        var next = slot.word
        while let record = unsafe UnsafePointer<Record>(bitPattern: next) {
            if unsafe record.pointee.controller == controller, let value = unsafe body(record.pointee) { return value }
            unsafe next = record.pointee.outer
        }
        return nil
    }
}

extension MemoryController {
    /// Whose code of this controller the calling thread is in, if any.
    var callee: ForeignCall.Callee? { ForeignCall.callee(of: ObjectIdentifier(self)) }

    /// Looks at what the controller knows: with the lock, or in its policy, which is asked with the lock held.
    func look<Result: Sendable>(_ body: (borrowing ControllerState) -> Result) -> Result {
        if let state = unsafe ForeignCall.state(of: ObjectIdentifier(self)) { return unsafe body(state.pointee) }
        return state.withLock { body($0) }
    }

    /// - Throws: ``ConversionError`` with the code `reentrant` where a policy, a listener or an observer asks: what it
    ///   was called about is not over.
    func checkReentrancy(_ range: PageRange) throws(ConversionError) {
        guard let callee else { return }
        throw ConversionError(.reentrant, "a \(callee) asks for it while it is called", range: range)
    }
}
