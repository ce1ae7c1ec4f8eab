import CustodyProtocols
import Testing

/// The table of version 5 as the mailing list gives it; the machine must reproduce it row by row.
@Suite struct DescriptionTests {
    struct Expected: CustomTestStringConvertible, Sendable {
        var from: [DescribedState]
        var event: DescribedEvent
        var guards: Set<String>
        var to: DescribedState?
        var result: KernelResult
        var outcome: Outcome?
        var testDescription: String { "\(from) \(event) \(guards)" }
    }

    static let table = [
        Expected(from: DescribedState.allCases, event: .set, guards: ["–"], to: .all, result: .success),
        Expected(
            from: [.all, .guest],
            event: .clear,
            guards: ["no folio at index, or refcount ≤ nr_pages+1"],
            to: .guest,
            result: .success
        ),
        Expected(from: [.none], event: .clear, guards: ["refcount ≤ nr_pages+1"], to: .guest, result: .success),
        Expected(
            from: [.all, .none],
            event: .clear,
            guards: ["refcount > nr_pages+1"],
            to: DescribedState.none,
            result: .success
        ),
        Expected(
            from: [.none],
            event: .register,
            guards: ["folio_mapped()"],
            to: DescribedState.none,
            result: .tryAgain,
            outcome: .blockedByMapping
        ),
        Expected(
            from: [.pending],
            event: .register,
            guards: ["–"],
            to: .pending,
            result: .tryAgain,
            outcome: .pending
        ),
        Expected(
            from: [.none],
            event: .register,
            guards: ["refcount ≤ nr_pages+1"],
            to: .guest,
            result: .success,
            outcome: .completed
        ),
        Expected(
            from: [.none],
            event: .register,
            guards: ["not mapped, refs − nr_pages > 1"],
            to: .pending,
            result: .tryAgain,
            outcome: .pending
        ),
        Expected(from: [.pending], event: .finalPut, guards: ["last reference"], to: .guest, result: .success),
        Expected(from: [.none, .pending, .guest], event: .hostFault, guards: ["–"], to: nil, result: .busError),
        Expected(from: [.all], event: .hostFault, guards: ["–"], to: .all, result: .success),
    ]

    @Test(arguments: table)
    func versionFive(_ expected: Expected) throws {
        let rows = ProtocolDescription(.version5).rows
        for state in expected.from {
            let row = try #require(
                rows.first {
                    $0.from == state && $0.event == expected.event && expected.guards.contains($0.guardText)
                },
                "no row for \(state)"
            )
            #expect(row.to == expected.to ?? state)
            #expect(row.result == expected.result)
            if let outcome = expected.outcome { #expect(row.outcome == outcome) }
        }
    }

    @Test func aRequestWhilePendingLosesTheHostsReference() throws {
        // Not in the table of the list: the request counts references that registration has already taken away.
        let row = try #require(
            ProtocolDescription(.version5).rows.first { $0.from == .pending && $0.event == .clear && $0.to == .guest }
        )
        #expect(row.guardText == "last reference")
    }

    @Test(arguments: HandoverProtocol.all)
    func everyGuardIsNamed(_ handover: HandoverProtocol) {
        for pages in [1, 2, 8] {
            let description = ProtocolDescription(handover, pagesPerFolio: pages)
            #expect(!description.rows.isEmpty)
            for row in description.rows { #expect(!row.guardText.contains("Circumstance"), "\(row)") }
        }
    }

    @Test(arguments: HandoverProtocol.all)
    func graphAndTableSayTheSame(_ handover: HandoverProtocol) {
        let description = ProtocolDescription(handover)
        let labels = description.dot.split(separator: "\\l", omittingEmptySubsequences: false).count - 1
        #expect(labels == description.rows.count)
        #expect(description.table.split(separator: "\n").count == description.rows.count + 2)
        for step in description.steps { #expect(!step.source(in: handover).isEmpty && !step.text.isEmpty) }
    }
}
