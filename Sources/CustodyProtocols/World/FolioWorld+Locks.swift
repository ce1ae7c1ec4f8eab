/// What the steps ask of a lock, by what each looks at: its own hold, writers, or readers.
extension FolioWorld {
    /// Whether `actor` holds `lock` in any way.
    @inlinable
    public func isHeld(_ lock: Lock, by actor: ActorID) -> Bool { self.lock(lock).isHeld(by: actor) }

    /// Whether `actor` holds `lock` exclusively.
    @inlinable
    public func isHeldExclusively(_ lock: Lock, by actor: ActorID) -> Bool {
        self.lock(lock).isHeldExclusively(by: actor)
    }

    /// Whether somebody holds `lock` exclusively.
    @inlinable
    public func isHeldExclusively(_ lock: Lock) -> Bool { self.lock(lock).writer != 0 }

    /// Whether somebody holds `lock` shared.
    @inlinable
    public func isHeldShared(_ lock: Lock) -> Bool { self.lock(lock).readers != 0 }

    /// Gives `lock`, which is free for it, to `actor`.
    @inlinable
    public mutating func acquire(_ lock: Lock, exclusively: Bool, for actor: ActorID) {
        var state = self.lock(lock)
        if exclusively { state.writer = actor.owner } else { state.readers |= actor.bit }
        setLock(lock, to: state)
    }

    /// Takes `lock` from `actor`, who holds it.
    @inlinable
    public mutating func release(_ lock: Lock, of actor: ActorID) {
        var state = self.lock(lock)
        if state.writer == actor.owner { state.writer = 0 } else { state.readers &= ~actor.bit }
        setLock(lock, to: state)
    }
}
