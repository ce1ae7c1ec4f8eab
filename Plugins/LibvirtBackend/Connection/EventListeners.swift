#if Libvirt
import Custody

/// Who wants to know what happens to a domain, beside its back end.
final class EventListeners: Sendable {
    private struct State {
        var buffers: [ObjectIdentifier: EventBuffer] = [:]
        var isOver = false
    }

    private let state = Locked(State())

    /// Listens from now on.
    func listen(capacity: Int) -> DomainEvents {
        let buffer = EventBuffer(capacity: capacity)
        let isOver = state.withLock { state in
            if !state.isOver { state.buffers[ObjectIdentifier(buffer)] = buffer }
            return state.isOver
        }
        if isOver { buffer.end() }
        return DomainEvents(buffer, Registration(of: buffer, with: self))
    }

    /// Tells everybody.
    func append(_ event: DomainEvent) {
        for buffer in state.withLock({ Array($0.buffers.values) }) { buffer.append(event) }
    }

    /// Nothing happens any more.
    func end() {
        let buffers = state.withLock { state in
            defer { state = State(isOver: true) }
            return Array(state.buffers.values)
        }
        for buffer in buffers { buffer.end() }
    }

    /// The registration of a buffer, until it is released.
    private final class Registration: Sendable {
        private let buffer: EventBuffer
        private let listeners: EventListeners

        init(of buffer: EventBuffer, with listeners: EventListeners) {
            self.buffer = buffer
            self.listeners = listeners
        }

        deinit { listeners.state.withLock { $0.buffers[ObjectIdentifier(buffer)] = nil } }
    }
}

#endif
