/// A change that a back end has checked and reserved for, and not made yet.
///
/// It is used up by `commit` or by ``cancel()``. One that is merely dropped is cancelled: a reservation cannot leak.
public struct PreparedChange: ~Copyable, Sendable {
    /// The change.
    public let change: OwnershipChange

    private let backend: any MemoryBackend
    private var reservation: Reservation?

    /// For back ends: a change for which `reservation` is held.
    public init(_ change: OwnershipChange, reservation: Reservation, of backend: any MemoryBackend) {
        self.change = change
        self.reservation = reservation
        self.backend = backend
    }

    /// Gives the reservation back; nothing has happened.
    public consuming func cancel() {}

    /// For back ends: takes the reservation out, to be committed.
    ///
    /// - Throws: ``BackendError`` with ``BackendError/Code/invalidArgument`` where `backend` did not prepare the change;
    ///   it is cancelled then.
    public consuming func take(for backend: any MemoryBackend) throws(BackendError) -> Reservation {
        guard self.backend === backend, let taken = reservation else {
            throw BackendError(
                .invalidArgument,
                "the change was prepared by another back end",
                range: change.range
            )
        }
        reservation = nil
        return taken
    }

    deinit {
        if let reservation { backend.releaseReservation(reservation, of: change) }
    }
}
