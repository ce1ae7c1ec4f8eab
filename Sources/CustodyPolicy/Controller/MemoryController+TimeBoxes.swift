import Custody

// Pages that become private again by themselves.
extension MemoryController {
    /// Has the pages looked at whose time is over then.
    ///
    /// The time is kept on time; the conversions, which call the back end, follow beside everything else.
    func setAlarm(_ due: Timestamp) {
        let timer = executor.submitUrgently(at: due) { [weak self] in
            guard let self else { return }
            executor.submitConcurrently { [weak self] in self?.askForDue() }
        }
        let stale = state.withLock { $0.timeBoxes.keep(timer, for: due) }
        if let stale { executor.withdraw(stale) }
    }

    /// Asks for the pages whose time is over, the earliest first, as long as there are some.
    private func askForDue() {
        guard state.withLock({ $0.timeBoxes.beginExpiry() }) else { return }
        while true {
            let now = executor.now
            let (due, alarm): ([TimeBoxes.Run], Timestamp?) = state.withLock { state in
                if state.lost != nil { state.timeBoxes.removeAll() }
                let due = state.timeBoxes.takeDue(by: now, atMost: 1024)
                return (due, due.isEmpty ? state.timeBoxes.endExpiry() : nil)
            }
            if due.isEmpty {
                if let alarm { setAlarm(alarm) }
                return
            }
            ask(for: due.map(\.range).sorted { $0.start < $1.start })
        }
    }

    /// Asks for pages from low to high, neighbours together.
    private func ask(for ranges: [PageRange]) {
        var neighbours: [PageRange] = []
        var pages: UInt64 = 0
        for range in ranges {
            let isNext = neighbours.last?.end == range.start.rawValue
            if !isNext || pages + range.count > limits.pagesPerGuestRequest {
                ask(forNeighbours: neighbours)
                (neighbours, pages) = ([], 0)
            }
            neighbours.append(range)
            pages += range.count
        }
        ask(forNeighbours: neighbours)
    }

    /// Asks for neighbouring ranges in one request for each run that is shared: a page in transit must not keep its
    /// neighbours shared. Where somebody holds some of it, or it does not go well, each range has a request of its own.
    private func ask(forNeighbours ranges: [PageRange]) {
        guard let first = ranges.first, let last = ranges.last else { return }
        let all = PageRange(uncheckedStart: first.start.rawValue, count: last.end - first.start.rawValue)
        var next = 0
        for run in runs(in: all) where run.state == .shared {
            while next < ranges.count, ranges[next].end <= run.range.start.rawValue { next += 1 }
            var parts: [PageRange] = []
            while next < ranges.count, let part = ranges[next].intersection(run.range) {
                parts.append(part)
                guard ranges[next].end <= run.range.end else { break }
                next += 1
            }
            if parts.count > 1, !state.withLock({ $0.ledger.isLeased(run.range) }), ask(for: run.range) { continue }
            for part in parts { _ = ask(for: part) }
        }
    }

    /// Whether pages have become private. What else comes of it is in the events, and what is still shared is asked for
    /// once more.
    private func ask(for range: PageRange) -> Bool {
        do {
            let outcome = try convert(ConversionRequest(range, to: .private, by: .timeBox))
            guard case .completed = outcome.status else { return false }
            return true
        } catch { return false }
    }
}
