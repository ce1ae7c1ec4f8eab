import CustodyChecker
import CustodyProtocols
import Testing

/// Small configurations whose verdicts are known.
@Suite struct VerdictTests {
    struct Known: CustomTestStringConvertible, Sendable {
        var handover: HandoverProtocol
        var name: String
        var violated: Set<Property>
        var testDescription: String { "\(handover.name): \(name)" }
    }

    static let known: [Known] = [
        Known(handover: .version5, name: "alone", violated: []),
        Known(handover: .version5, name: "mapped", violated: []),
        Known(handover: .version5, name: "hold", violated: [.noSelfDeadlock]),
        Known(handover: .version5, name: "speculate", violated: [.noSelfDeadlock]),
        Known(
            handover: .version5,
            name: "hold, dropped in an interrupt",
            violated: [.noSelfDeadlock, .neverSleepsInAtomic]
        ),
        Known(
            handover: .version5,
            name: "believes it is registered",
            violated: [.noStrandedCaller, .noSelfDeadlock]
        ),
        Known(handover: .version5, name: "leaves", violated: [.refusalChangesNothing]),
        Known(handover: .version5, name: "private already", violated: [.noSelfDeadlock, .privateStaysPrivate]),
        Known(
            handover: .version5,
            name: "two requests",
            violated: [
                .noHostAccessToPrivate, .neverPrivateWhileHeld, .completesOnce, .noSelfDeadlock, .noDeadlock,
            ]
        ),
        Known(
            handover: .version5,
            name: "back while held",
            violated: [.completesOnce, .noSelfDeadlock, .noDeadlock]
        ),
        Known(
            handover: .version5,
            name: "punch while pending",
            violated: [.noUnderflow, .noUseAfterFree, .noDeadlock]
        ),
        Known(handover: .version5, name: "memory failure", violated: [.noSelfDeadlock, .noDeadlock]),
        Known(handover: .version5CallbackOnly, name: "alone", violated: []),
        Known(handover: .version5CallbackOnly, name: "mapped", violated: [.noSelfDeadlock]),
        Known(handover: .version7, name: "alone", violated: [.neverSleepsInAtomic]),
        Known(
            handover: .version7,
            name: "hold",
            violated: [.noUnderflow, .noSelfDeadlock, .neverSleepsInAtomic]
        ),
        Known(handover: .version8, name: "memory failure and punch", violated: [.noDeadlock]),
    ]

    @Test(arguments: known)
    func isAsKnown(_ known: Known) throws {
        let configuration = try #require(Suite.configuration(known.name, for: known.handover))
        #expect(Set(Checker(shortest: false).check(configuration).violated) == known.violated)
    }

    @Test func inPlaceConversionHoldsButForMemoryFailure() {
        for configuration in Suite.configurations(for: .version8) where configuration.name != "memory failure and punch"
        {
            let report = Checker().check(configuration)
            #expect(report.isProved, "\(report.summary)")
        }
    }

    /// As applied it holds for a memory failure too.
    @Test func inPlaceConversionAsAppliedHolds() {
        for configuration in Suite.configurations(for: .version13) {
            let report = Checker().check(configuration)
            #expect(report.isProved, "\(report.summary)")
        }
    }

    @Test func ourVariantHoldsForEverySet() {
        for configuration in Suite.configurations(for: .custody) {
            let report = Checker().check(configuration)
            #expect(report.isProved, "\(report.summary)")
        }
    }

    @Test func everyDifferenceFromVersionFiveIsNeeded() {
        var survivors: [String] = []
        func isKilled(_ name: String, _ change: (inout Rules) -> Void) {
            var handover = HandoverProtocol.custody
            change(&handover.rules)
            let isViolated = Suite.configurations(for: .custody).contains { configuration in
                var spoiled = configuration
                spoiled.handover = handover
                return !Checker(maximumStates: 100_000, stopsAtFirst: true).check(spoiled).violated.isEmpty
            }
            if !isViolated { survivors.append(name) }
        }
        isKilled("registration") { $0.registration = .subtractAndLook }
        isKilled("final put") { $0.finalPut = .completesInline }
        isKilled("truncation") { $0.truncation = .ignoresPending }
        isKilled("guest") { $0.guestLocksStateFirst = false }
        isKilled("memory failure") { $0.poisonLock = .waits }
        #expect(survivors.isEmpty)
    }
}
