/// A change that has been made and can still be taken back.
///
/// It is used up by a back end's `finish` or `undo`. One that is merely dropped is finished: the change was made, and
/// what is stale must not stay.
public struct CommittedChange: ~Copyable, Sendable {
    /// The change.
    public let change: OwnershipChange

    private let backend: any MemoryBackend
    private var reservation: Reservation?
    /// Made by the end of another one: its own end does not finish once more.
    private let isLast: Bool

    /// For back ends: a change that has been made; `reservation` finds what undoing it needs.
    public init(_ change: OwnershipChange, reservation: Reservation, of backend: any MemoryBackend) {
        self.init(change, reservation, backend, isLast: false)
    }

    private init(_ change: OwnershipChange, _ reservation: Reservation, _ backend: any MemoryBackend, isLast: Bool) {
        self.change = change
        self.reservation = reservation
        self.backend = backend
        self.isLast = isLast
    }

    /// For back ends: takes the reservation out, to be finished or undone.
    ///
    /// - Returns: `nil` where another back end made the change.
    public consuming func take(for backend: any MemoryBackend) -> Reservation? {
        guard self.backend === backend else { return nil }
        let taken = reservation
        reservation = nil
        return taken
    }

    deinit {
        guard let reservation, !isLast else { return }
        _ = backend.finish(CommittedChange(change, reservation, backend, isLast: true))
    }
}
