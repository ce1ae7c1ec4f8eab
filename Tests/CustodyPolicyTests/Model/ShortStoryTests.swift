import Custody
import Testing

/// Stories that chance seldom tells, each about one thing that must not be forgotten.
@Suite struct ShortStoryTests {
    private func play(_ steps: [Step]) throws {
        for stage in Story.Stage.allCases {
            var story = Story(steps: steps)
            story.stage = stage
            try story.play()
        }
    }

    private func convert(_ pages: Range<Int>, _ target: Ownership, _ patience: Step.Patience = .endless) -> Step {
        .convert(pages, target, by: .guest, patience, isPrefix: false)
    }

    /// Three runs, of which the back end has made the first and completes the second by itself.
    private var halfDone: [Step] { [convert(2..<4, .private), .commit(2, .pend), convert(0..<6, .host)] }

    /// A deadline counts on in the controller that comes after a restart.
    @Test(arguments: [Step.commit(1, .pend), .commit(1, .block)])
    func aDeadlineOutlivesARestart(then end: Step) throws {
        let begun: [Step] = [.lease(0..<2, .pin, yields: false), convert(0..<2, .private, .milliseconds(2))]
        try play(begun + [end, .commit(2, .block), .restart, .pass(milliseconds: 1), .pass(milliseconds: 1)])
    }

    /// What nobody may wait for is taken back, with what had been made before it.
    @Test func whatMayNotPendIsUndone() throws {
        let patient = halfDone.last
        try play(halfDone.dropLast() + [convert(0..<6, .host, .none)])
        // As many hand-overs as the guest may have wait already.
        let many: [Step] = [.lease(9..<13, .pin, yields: false), convert(9..<10, .private), convert(11..<12, .private)]
        try play(many + halfDone.dropLast() + [patient].compactMap { $0 })
    }

    /// The contents of what may come back stay: of what has been made, and of what is reserved for.
    @Test(arguments: [0..<1, 2..<3, 4..<5, 0..<6], [true, false])
    func whatMayComeBackKeepsItsContents(pages: Range<Int>, completes: Bool) throws {
        try play([.touch(0, by: .host), .touch(4, by: .host)] + halfDone + [.discard(pages), .cancel(0)])
        try play(halfDone + [.discard(pages), .endLate(0, completes: completes), .discard(pages)])
    }

    /// A back end that is always in the way is asked as often as the terms say.
    @Test func whatIsAlwaysInTheWayIsGivenUp() throws {
        let blocks: [Step] = (1...8).map { .commit($0, .block) }
        try play(
            [.lease(0..<2, .pin, yields: false), convert(0..<2, .private)] + blocks + [.release(0)]
                + [Step](repeating: .pass(milliseconds: 1), count: 6)
        )
    }

    /// Whoever refuses what comes late has nothing, also of what it was in the middle of.
    @Test func whoeverRefusesHasNothing() throws {
        try play([
            convert(0..<4, .private), .commit(1, .pend), convert(0..<2, .shared), .join(refusing: nil),
            .commit(1, .pend), convert(4..<6, .private), .refuse(listener: 0, nth: 1), .endLate(0, completes: true),
            .cancel(0),
        ])
    }

    /// One end, whoever comes with another at the same moment.
    @Test func aHandOverEndsOnce() throws {
        try play(halfDone + [.failUndo(1), .cancel(0), .cancel(0), .lose])
        try play(halfDone + [.cancel(0), .endLate(0, completes: true), .lose])
        try play(halfDone + [.endLate(0, completes: false), .cancel(0), .pass(milliseconds: 5), .lose])
    }
}
