public import Custody

// Contents.
extension MemoryController {
    /// Throws the contents of pages away; their ownership stays. Hand-overs of them that are pending stay pending.
    ///
    /// - Throws: ``ConversionError``: ``ConversionError/Code/hole`` or ``ConversionError/Code/misaligned`` for what is not
    ///   RAM or no unit of the back end, ``ConversionError/Code/busy`` while pages of it change hands,
    ///   ``ConversionError/Code/backend`` where the back end fails; the contents are as they were then.
    public func discard(_ range: PageRange) throws(ConversionError) {
        try checkReentrancy(range)
        guard range.isAligned(to: layout.granularity) else {
            throw ConversionError(
                .misaligned,
                "contents are discarded in units of \(ByteCount(layout.granularity.bytes))",
                range: range
            )
        }
        if let hole = layout.firstHole(in: range) {
            throw ConversionError(.hole, "there is no memory at \(hole.address)", range: range)
        }
        let id = try state.withLock { state throws(ConversionError) -> UInt64 in
            if let lost = state.lost { throw ConversionError(.backend, "the back end is lost", cause: lost) }
            let isBusy = state.claims.meeting(range).contains { $0.keepsContents(of: range) }
            guard !isBusy, !state.isBeingDiscarded(range) else {
                throw ConversionError(.busy, "another change of these pages is under way", range: range)
            }
            let id = state.nextDiscard
            state.nextDiscard += 1
            state.discards[id] = range
            return id
        }
        var failure: BackendError?
        do { try backend.discardContents(of: range) } catch { failure = error }
        let (step, isFirst) = state.withLock { state in
            state.discards[id] = nil
            return (self.step(), state.noteReleased(range))
        }
        emit(.discarded(range, failure), of: step)
        if isFirst { advanceReleased() }
        guard let failure else { return }
        if failure.code == .lost { backendLost(failure) }
        throw ConversionError(.backend, "the back end could not discard them", range: range, cause: failure)
    }
}
