import Custody

/// How much memory is behind pages, by both sides of a lockstep: some or none.
struct LockstepMeter: MemoryMeter {
    private let real: any MemoryMeter
    private let twin: (any MemoryMeter)?
    private let backend: LockstepBackend

    init(_ real: any MemoryMeter, beside twin: (any MemoryMeter)?, of backend: LockstepBackend) {
        self.real = real
        self.twin = twin
        self.backend = backend
    }

    func backedBytes(of range: PageRange) throws(BackendError) -> UInt64 {
        let bytes = try real.backedBytes(of: range)
        // When memory that nobody has written comes and goes is nobody's promise.
        guard let other = try twin?.backedBytes(of: range), (bytes == 0) == (other == 0) else {
            backend.noteUncompared("how much memory is behind pages")
            return bytes
        }
        return bytes
    }
}
