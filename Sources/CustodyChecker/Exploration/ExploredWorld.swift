import CustodyProtocols

/// A world that an exploration steps and judges in: a small one, as it is or with a record of what is looked at.
protocol ExploredWorld: FolioWorld {
    /// The world itself.
    var small: SmallWorld { get set }

    /// Notes that the holds of other actors are looked at.
    func observe(_ hold: Accesses.Hold)
}

extension SmallWorld: ExploredWorld {
    var small: SmallWorld {
        @inline(__always) get { self }
        @inline(__always) set { self = newValue }
    }

    @inline(__always)
    func observe(_: Accesses.Hold) {}
}

extension Actor {
    /// The folio on which the actor has a reference of its own.
    var referencedFolio: FolioID? { references > 0 ? folio : nil }

    /// The folio that the actor may touch through a pin.
    var touchedFolio: FolioID? { step == .pinAccess && remaining > 0 ? folio : nil }
}
