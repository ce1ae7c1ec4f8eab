import Custody

/// The shared pages that become private again by themselves, run by run, each with its time.
///
/// There is an entry for each run of pages that are in a box now, and for nothing else: what is shared and taken back a
/// million times leaves nothing.
struct TimeBoxes: Sendable {
    /// Pages in a box.
    struct Run: Sendable {
        let range: PageRange
        let box: TimeBox
    }

    private var queue = TimerQueue<Run>()
    /// The runs by their pages, each with its number in the queue.
    private var tree = PageRangeTree()
    /// Whether somebody is asking for what is due.
    private var isExpiring = false
    /// When somebody is going to look, and the timer of that once there is one.
    private var alarm: (due: Timestamp, timer: TimerID?)?

    /// The number of runs.
    var count: Int { queue.count }

    /// The number of levels of the tree of pages, for tests.
    var height: Int { tree.height }

    /// Puts pages into a box, out of any other. Where its time never comes they are in none.
    ///
    /// - Complexity: O((*k* + 1) log *n*) for *k* of *n* runs that pages are taken out of.
    mutating func open(_ range: PageRange, _ box: TimeBox) {
        close(range)
        guard box.due != .never else { return }
        insert(Run(range: range, box: box))
    }

    /// Takes pages out of any box: they are not shared any more.
    ///
    /// - Complexity: as ``open(_:_:)``.
    mutating func close(_ range: PageRange) {
        guard !queue.isEmpty else { return }
        var met: [UInt64] = []
        tree.forEach(meeting: range) { met.append($0) }
        for number in met {
            guard let run = queue.remove(TimerID(rawValue: number)) else { continue }
            tree.remove(run.range, number)
            if let before = run.range.prefix(before: range.start) { insert(Run(range: before, box: run.box)) }
            if let after = run.range.suffix(from: PageNumber(range.end)) { insert(Run(range: after, box: run.box)) }
        }
    }

    /// Up to `limit` runs whose time is over, from the earliest on. They are asked for now, and once more after their
    /// period where they are still in their box then. That grows by a sixteenth each time, so that a page that is held
    /// for *t* is asked for O(log *t*) times, and has come back at the latest when a sixteenth of *t* more has passed.
    mutating func takeDue(by now: Timestamp, atMost limit: Int) -> [Run] {
        var due: [Run] = []
        while due.count < limit, let (_, id, run) = queue.popDue(by: now) {
            tree.remove(run.range, id.rawValue)
            due.append(run)
        }
        for run in due {
            let period = max(run.box.period, .milliseconds(1))
            let next = now.advanced(by: period)
            guard next != .never else { continue }
            insert(Run(range: run.range, box: TimeBox(due: next, period: period + period / 16)))
        }
        return due
    }

    /// All pages by box, the boxes by their time and then by their period.
    ///
    /// - Complexity: O(*n* log *n*) in the number of runs.
    var boxes: [(box: TimeBox, ranges: [PageRange])] {
        let runs = queue.all.map(\.work).sorted {
            ($0.box.due, $0.box.period, $0.range.start) < ($1.box.due, $1.box.period, $1.range.start)
        }
        var boxes: [(box: TimeBox, ranges: [PageRange])] = []
        for run in runs {
            guard let last = boxes.last, last.box == run.box else {
                boxes.append((run.box, [run.range]))
                continue
            }
            if let before = last.ranges.last, before.end == run.range.start.rawValue {
                boxes[boxes.count - 1].ranges.removeLast()
                boxes[boxes.count - 1].ranges.append(before.joined(with: run.range))
            } else {
                boxes[boxes.count - 1].ranges.append(run.range)
            }
        }
        return boxes
    }

    /// Forgets everything: nobody can be asked any more.
    mutating func removeAll() {
        queue = TimerQueue()
        tree = PageRangeTree()
    }

    private mutating func insert(_ run: Run) {
        let id = queue.insert(run.box.due, run)
        tree.insert(run.range, id.rawValue)
    }

    // MARK: The one timer

    /// Begins to ask for what is due.
    ///
    /// - Returns: `false` where somebody is at it: whatever comes due meanwhile is asked for as well.
    mutating func beginExpiry() -> Bool {
        alarm = nil
        defer { isExpiring = true }
        return !isExpiring
    }

    /// Nothing is due any more.
    ///
    /// - Returns: as ``nextAlarm()``.
    mutating func endExpiry() -> Timestamp? {
        isExpiring = false
        return nextAlarm()
    }

    /// The time at which somebody is to look, where that is earlier than anybody is going to.
    mutating func nextAlarm() -> Timestamp? {
        guard !isExpiring, let next = queue.next?.deadline, alarm.map({ next < $0.due }) ?? true else { return nil }
        alarm = (next, alarm?.timer)
        return next
    }

    /// Remembers the timer of an alarm.
    ///
    /// - Returns: the timer that is to be withdrawn, where an earlier alarm has one.
    mutating func keep(_ timer: TimerID, for due: Timestamp) -> TimerID? {
        guard let alarm, alarm.due == due else { return timer }
        self.alarm = (due, timer)
        return alarm.timer
    }

    /// There is to be no alarm.
    ///
    /// - Returns: its timer, to be withdrawn.
    mutating func takeAlarm() -> TimerID? {
        defer { alarm = nil }
        return alarm?.timer
    }
}
