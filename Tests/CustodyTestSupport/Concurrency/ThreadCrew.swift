package import Custody

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#endif

/// Threads that do the same piece of work at the same time, again and again.
package final class ThreadCrew: Sendable {
    private struct State {
        var round = 0
        var left = 0
        var work: (@Sendable (Int) -> Void)?
        var isOver = false
    }

    package let count: Int
    private let state = Monitor(State())

    /// Starts the threads.
    package init(_ count: Int) throws(BackendError) {
        self.count = count
        let state = state
        for number in 0..<count {
            try Thread.start {
                var round = 0
                while true {
                    let work: (@Sendable (Int) -> Void)? =
                        state.wait { state in
                            if state.isOver { return .some(nil) }
                            return state.round > round ? .some(state.work) : nil
                        } ?? nil
                    guard let work else { return }
                    round += 1
                    work(number)
                    state.update { $0.left -= 1 }
                }
            }
        }
    }

    /// Lets other threads run.
    package static func yield() { sched_yield() }

    deinit { state.update { $0.isOver = true } }

    /// Runs `body` on each thread, with its number, and returns when all are done.
    package func run(_ body: @escaping @Sendable (Int) -> Void) {
        state.update { state in
            state.round += 1
            state.left = count
            state.work = body
        }
        state.wait { $0.left == 0 ? () : nil }
    }
}
