#if Libvirt
import Custody

/// Events between libvirt's thread and whoever listens, at most so many.
///
/// What does not fit is not waited for and not silently lost: the buffer is emptied and holds the one event
/// ``DomainEvent/Kind/reconcile`` in its place, because whoever missed one event cannot trust the others.
package final class EventBuffer: Sendable {
    private struct State {
        var events: [DomainEvent] = []
        var waiter: CheckedContinuation<DomainEvent?, Never>?
        var isOver = false
    }

    private let state = Locked(State())
    private let capacity: Int
    private let wake: @Sendable () -> Void

    /// A buffer that calls `wake`, on libvirt's thread, when an event comes into it while it is empty.
    package init(capacity: Int, wake: @escaping @Sendable () -> Void = {}) {
        self.capacity = max(1, capacity)
        self.wake = wake
    }

    /// Puts an event in, or hands it to the task that waits.
    package func append(_ event: DomainEvent) {
        let (waiter, isFirst): (CheckedContinuation<DomainEvent?, Never>?, Bool) = state.withLock { state in
            if let waiter = state.waiter {
                state.waiter = nil
                return (waiter, false)
            }
            if state.events.count < capacity {
                state.events.append(event)
            } else {
                state.events = [DomainEvent(domain: nil, .reconcile)]
            }
            return (nil, state.events.count == 1)
        }
        if let waiter { waiter.resume(returning: event) } else if isFirst { wake() }
    }

    /// Lets whoever waits, or takes what is left, know that nothing comes any more.
    func end() {
        let waiter = state.withLock { state in
            defer { state.waiter = nil }
            state.isOver = true
            return state.waiter
        }
        waiter?.resume(returning: nil)
    }

    /// Takes everything out.
    package func takeAll() -> [DomainEvent] {
        state.withLock { state in
            defer { state.events = [] }
            return state.events
        }
    }

    /// The next event; `nil` when the task is cancelled, and after the last one. For one task at a time: a second one that
    /// waits ends the first one's wait.
    package func next() async -> DomainEvent? {
        await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                let (ready, earlier): (DomainEvent??, CheckedContinuation<DomainEvent?, Never>?) =
                    state.withLock { state in
                        if !state.events.isEmpty { return (.some(state.events.removeFirst()), nil) }
                        if Task.isCancelled || state.isOver { return (.some(nil), nil) }
                        defer { state.waiter = continuation }
                        return (nil, state.waiter)
                    }
                earlier?.resume(returning: nil)
                if let ready { continuation.resume(returning: ready) }
            }
        } onCancel: {
            let waiter = state.withLock { state in
                defer { state.waiter = nil }
                return state.waiter
            }
            waiter?.resume(returning: nil)
        }
    }
}

#endif
