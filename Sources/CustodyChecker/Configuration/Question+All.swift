import CustodyProtocols

extension Question {
    /// The questions of the review, then what nobody asked.
    public static var all: [Question] { review + own }

    private static func claim(
        _ sentence: String,
        _ property: Property,
        _ handover: HandoverProtocol,
        _ set: String,
        _ change: (inout Configuration) -> Void = { _ in }
    ) -> [Claim] {
        // A set that a protocol does not have leaves the claim out; a test looks that none is.
        Suite.configuration(set, for: handover).map { configuration in
            var changed = configuration
            change(&changed)
            return [Claim(sentence: sentence, property: property, configuration: changed)]
        } ?? []
    }

    /// A protocol whose final put hands over to a completer, all else as it is.
    private static func queued(_ handover: HandoverProtocol) -> HandoverProtocol {
        var changed = handover
        changed.name += " with a completer"
        changed.rules.finalPut = .queues
        return changed
    }

    private static var review: [Question] {
        [
            Question(
                name: "stranded-callers",
                prose: """
                    Registration answers -EAGAIN both when it has registered and when it has not, because the folio is \
                    mapped. The author: this is intentional, the comment needs work. Which callers can be stranded?
                    """,
                source: "Tng and Babka on 6/15",
                claims: claim(
                    "Version 5: a caller that unmaps when the folio is mapped and waits otherwise is told.",
                    .noStrandedCaller,
                    .version5,
                    "fault and unmap"
                )
                    + claim(
                        "Version 5: a caller that takes every -EAGAIN for ‘registered’, as the comment says, is told.",
                        .noStrandedCaller,
                        .version5,
                        "believes it is registered"
                    )
                    + claim(
                        "Version 5: a caller that gives up after -EAGAIN leaves a page that somebody may map.",
                        .refusalChangesNothing,
                        .version5,
                        "leaves"
                    )
                    + claim(
                        "Version 5: of two callers for two pages of one folio, both are told.",
                        .noStrandedCaller,
                        .version5,
                        "large folio, a request a page"
                    )
                    + claim(
                        "Version 7, which answers 0 for ‘registered’: the caller that believes it is told.",
                        .noStrandedCaller,
                        .version7,
                        "believes it is registered"
                    )
                    + claim(
                        "`gmem-custody`: no caller can be stranded, also one that believes every answer.",
                        .noStrandedCaller,
                        .custody,
                        "believes it is registered"
                    )
            ),
            Question(
                name: "reference-after-type",
                prose: """
                    Somebody takes a speculative reference between the type being set and the count being looked at. \
                    The author: that is fine (“famous last words”), the callback covers it. The reviewer: what if the \
                    speculative holder writes?
                    """,
                source: "Babka and Tng on 6/15",
                claims: claim(
                    "Version 5: such a reference never lets the host touch a private page.",
                    .noHostAccessToPrivate,
                    .version5,
                    "hold and speculate"
                )
                    + claim(
                        "Version 5: such a reference never loses the hand-over.",
                        .handoverNotLost,
                        .version5,
                        "hold and speculate"
                    )
                    + claim(
                        "Version 5: the callback covers it: the final put completes without waiting for itself.",
                        .noSelfDeadlock,
                        .version5,
                        "speculate"
                    )
                    + claim(
                        "Version 5: a speculative holder that does write never writes to a private page.",
                        .noHostAccessToPrivate,
                        .version5,
                        "speculate"
                    ) { $0.mutation = .goesOn(from: .speculateTryGet, to: .pinAccess) }
                    + claim(
                        "Version 5: a lockless pin that writes never writes to a private page.",
                        .noHostAccessToPrivate,
                        .version5,
                        "two pins"
                    )
                    + claim(
                        "`gmem-custody`: the final put never waits for itself.",
                        .noSelfDeadlock,
                        .custody,
                        "speculate"
                    )
                    + claim(
                        "`gmem-custody`: a speculative holder that does write never writes to a private page.",
                        .noHostAccessToPrivate,
                        .custody,
                        "speculate"
                    ) { $0.mutation = .goesOn(from: .speculateTryGet, to: .pinAccess) }
            ),
            Question(
                name: "callback-only",
                prose: """
                    Could registration just drop the references, and leave everything else to the callback of the final \
                    put? The first two claims take the suggestion as it stands; the others give both variants a \
                    completer for final puts, without which neither works. Two claims that differ are a difference \
                    that can be observed; their counterexamples are the trace.
                    """,
                source: "Tng on 6/15",
                claims: claim(
                    "As suggested: a hand-over that nobody holds up completes.",
                    .noSelfDeadlock,
                    .version5CallbackOnly,
                    "mapped"
                )
                    + claim(
                        "As posted: a hand-over that nobody holds up completes.",
                        .noSelfDeadlock,
                        .version5,
                        "mapped"
                    )
                    + [Property.noHostAccessToPrivate, .completesOnce, .handoverNotLost].flatMap { property in
                        ["two requests", "back while held"].flatMap { set in
                            claim("As posted, \(set): \(property.sentence)", property, queued(.version5), set)
                                + claim(
                                    "As suggested, \(set): \(property.sentence)",
                                    property,
                                    queued(.version5CallbackOnly),
                                    set
                                )
                        }
                    }
                    + claim(
                        "As posted, punch and fault: \(Property.handoverNotLost.sentence)",
                        .handoverNotLost,
                        queued(.version5),
                        "punch and fault"
                    )
                    + claim(
                        "As suggested, punch and fault: \(Property.handoverNotLost.sentence)",
                        .handoverNotLost,
                        queued(.version5CallbackOnly),
                        "punch and fault"
                    )
            ),
            Question(
                name: "separate-registration",
                prose: """
                    Registration is a critical section of its own, after the one that set the transient state. What if \
                    a conversion back, or a truncation, comes between?
                    """,
                source: "Annapurve on 6/15",
                claims: claim(
                    "Against conversion back: a completion finds the page in transit.",
                    .completesOnce,
                    .version5,
                    "registration apart from the request"
                )
                    + claim(
                        "Against conversion back: the host never touches a private page.",
                        .noHostAccessToPrivate,
                        .version5,
                        "registration apart from the request"
                    )
                    + claim(
                        "Against truncation: no count falls below zero.",
                        .noUnderflow,
                        .version5,
                        "registration apart, punch"
                    )
                    + claim(
                        "Against truncation: nothing is used after it is gone.",
                        .noUseAfterFree,
                        .version5,
                        "registration apart, punch"
                    )
                    + claim(
                        "Version 7, against conversion back: a completion finds the page in transit.",
                        .completesOnce,
                        .version7,
                        "registration apart from the request"
                    )
                    + claim(
                        "`gmem-custody`, one critical section, against conversion back: a completion finds the page in "
                            + "transit.",
                        .completesOnce,
                        .custody,
                        "hold, speculate and back"
                    )
                    + claim(
                        "`gmem-custody`, against truncation: nothing is used after it is gone.",
                        .noUseAfterFree,
                        .custody,
                        "punch, back"
                    )
            ),
            Question(
                name: "truncation-while-pending",
                prose: """
                    A hole is punched, or the file is torn down, while a hand-over is pending: who gives the references \
                    back that registration took?
                    """,
                source: "lore diqz1pwbspzx.fsf@ackerleytng-ctop.c.googlers.com",
                claims: [HandoverProtocol.version5, .version7, .custody].flatMap { handover in
                    claim(
                        "`\(handover.name)`, hole: no count falls below zero.",
                        .noUnderflow,
                        handover,
                        "punch while pending"
                    )
                        + claim(
                            "`\(handover.name)`, hole: the final put follows nothing that is gone.",
                            .noUseAfterFree,
                            handover,
                            "punch while pending"
                        )
                        + claim(
                            "`\(handover.name)`, hole: nobody waits for ever.",
                            .noDeadlock,
                            handover,
                            "punch while pending"
                        )
                        + claim(
                            "`\(handover.name)`, teardown: the final put follows nothing that is gone.",
                            .noUseAfterFree,
                            handover,
                            "tear down while pending"
                        )
                }
            ),
            Question(
                name: "subtract-or-freeze",
                prose: """
                    Version 5 subtracts the file's references and looks at the rest; the review asked for a freeze, \
                    which version 7 has. Which of the two is right about the count?
                    """,
                source: "Shutemov on 5/15, Babka on 6/15",
                claims: [HandoverProtocol.version5, .version7].flatMap { handover in
                    claim(
                        "`\(handover.name)`: no count falls below zero while a holder lets go.",
                        .noUnderflow,
                        handover,
                        "hold"
                    )
                        + claim(
                            "`\(handover.name)`: no count falls below zero under speculative references.",
                            .noUnderflow,
                            handover,
                            "speculate"
                        )
                        + claim(
                            "`\(handover.name)`: a page does not become private while it is held.",
                            .neverPrivateWhileHeld,
                            handover,
                            "hold"
                        )
                        + claim(
                            "`\(handover.name)`: nobody waits for itself.",
                            .noSelfDeadlock,
                            handover,
                            "hold"
                        )
                }
                    + claim(
                        "`gmem-custody`, which subtracts: no count falls below zero.",
                        .noUnderflow,
                        .custody,
                        "hold, speculate and back"
                    )
            ),
            Question(
                name: "convert-back-and-final-put",
                prose: "The page is made shared again at the moment at which the last reference is dropped.",
                source: "Tng on 6/15",
                claims: [HandoverProtocol.version5, .version5CallbackOnly, .version7, .custody].flatMap { handover in
                    claim(
                        "`\(handover.name)`: the hand-over ends once, as completed or as cancelled.",
                        .completesOnce,
                        handover,
                        "back while held"
                    )
                        + claim(
                            "`\(handover.name)`: nobody waits for ever.",
                            .noDeadlock,
                            handover,
                            "back while held"
                        )
                }
            ),
            Question(
                name: "in-place-retries",
                prose: """
                    In-place conversion registers nothing: -EAGAIN and an offset. Is that free of races with pins that take no \
                    lock, and can the caller starve? How many attempts suffice?
                    """,
                source: "lore 20260618-gmem-inplace-conversion-v8-0-9d2959357853, and as applied",
                claims: claim(
                    "A page that a lockless pin may touch does not become private.",
                    .neverPrivateWhileHeld,
                    .version13,
                    "two pins"
                )
                    + claim(
                        "The host never touches a private page.",
                        .noHostAccessToPrivate,
                        .version13,
                        "crowd on a mapped page"
                    )
                    + claim(
                        "The offset names the first page that is in the way.",
                        .answerNamesBlocker,
                        .version13,
                        "range"
                    )
                    + claim(
                        "All or nothing: a refused request changes nothing.",
                        .refusalChangesNothing,
                        .version13,
                        "leaves while held"
                    )
                    + claim(
                        "A caller that asks again gets there in the end if holders let go (no state without a way out).",
                        .noLivelock,
                        .version13,
                        "asks again"
                    ),
                retries: askingAgain
            ),
        ]
    }

    /// A caller of the in-place conversion that asks again, against holders that let go.
    private static var askingAgain: [Configuration] {
        let caller = Operation(.convertToPrivate, behavior: .asksAgain)
        let others: [(String, [Operation])] = [
            ("a holder", [Operation(.hold)]),
            ("two holders", [Operation(.hold), Operation(.hold)]),
            ("three holders", [Operation(.hold), Operation(.hold), Operation(.hold)]),
            ("a speculative reference", [Operation(.speculate)]),
            ("two speculative references", [Operation(.speculate), Operation(.speculate)]),
            ("two pins and an unmapper", [Operation(.pin), Operation(.pin), Operation(.hostUnmap)]),
            ("a holder and a host that faults", [Operation(.hold), Operation(.hostAccess)]),
        ]
        return others.map { Configuration($0, .version13, folios: [.mapped], operations: [caller] + $1) }
    }

    private static var own: [Question] {
        [
            Question(
                name: "last-put-under-own-lock",
                prose: """
                    Whoever drops a reference while it holds the invalidate lock can be the last one, and the callback \
                    takes that lock: a registration, a second request, a convert-back, a refused host fault.
                    """,
                source: nil,
                claims: claim("Registration.", .noSelfDeadlock, .version5, "hold")
                    + claim("A request that is made again.", .noSelfDeadlock, .version5, "asks again")
                    + claim("A convert-back.", .noSelfDeadlock, .version5, "back while held")
                    + claim("A host fault, under the shared lock.", .noSelfDeadlock, .version5, "fault while pending")
                    + claim("Version 7's registration.", .noSelfDeadlock, .version7, "hold")
            ),
            Question(
                name: "look-up-waits-for-the-callback",
                prose: """
                    Between the final drop and the callback the count is zero. A look-up under the invalidate lock tries \
                    again for as long as it is; the callback waits for that lock.
                    """,
                source: nil,
                claims: claim("Against a convert-back.", .noDeadlock, .version5, "back while held")
                    + claim("Against a host fault.", .noDeadlock, .version5, "fault while pending")
                    + claim("Against a hole.", .noDeadlock, .version5, "punch while pending")
                    + claim("Version 7, against a hole.", .noDeadlock, .version7, "punch while pending")
            ),
            Question(
                name: "second-request-on-a-pending-page",
                prose: """
                    A request compares the count with nr_pages + 1; registration has subtracted nr_pages already. A page \
                    that is pending because it is held looks free to the next request.
                    """,
                source: nil,
                claims: claim(
                    "The host never touches a private page.",
                    .noHostAccessToPrivate,
                    .version5,
                    "two requests"
                )
                    + claim(
                        "`gmem-custody`: the host never touches a private page.",
                        .noHostAccessToPrivate,
                        .custody,
                        "two requests"
                    )
            ),
            Question(
                name: "request-on-a-private-page",
                prose: "A passing reference makes a request take a page that is private already away from the guest.",
                source: nil,
                claims: claim("Version 5 leaves it alone.", .privateStaysPrivate, .version5, "private already")
                    + claim("In-place conversion leaves it alone.", .privateStaysPrivate, .version13, "private already")
                    + claim("`gmem-custody` leaves it alone.", .privateStaysPrivate, .custody, "private already")
            ),
            Question(
                name: "lock-order",
                prose: """
                    The guest's fault holds the folio lock and asks for the state under the invalidate lock; a memory \
                    failure does the same. Everybody else takes them in the other order.
                    """,
                source: nil,
                claims: claim("Guest fault.", .noDeadlock, .version5, "guest")
                    + claim("Memory failure.", .noDeadlock, .version5, "memory failure")
                    + claim("Memory failure, version 8.", .noDeadlock, .version8, "memory failure and punch")
                    + claim(
                        "Memory failure, as applied: it does not wait, and may fail.",
                        .noDeadlock,
                        .version13,
                        "memory failure and punch"
                    )
                    + claim("Guest fault, `gmem-custody`.", .noDeadlock, .custody, "guest")
                    + claim("Memory failure, `gmem-custody`.", .noDeadlock, .custody, "memory failure and punch")
            ),
            Question(
                name: "sleeping-where-forbidden",
                prose: """
                    Version 7 takes the folio lock, which sleeps, under a spinning lock. A final put in an interrupt \
                    sleeps in the callback of version 5 (that one was named later, and ended the design).
                    """,
                source: nil,
                claims: claim("Version 7, nobody else about.", .neverSleepsInAtomic, .version7, "alone")
                    + claim("Version 5.", .neverSleepsInAtomic, .version5, "hold, dropped in an interrupt")
                    + claim("`gmem-custody`.", .neverSleepsInAtomic, .custody, "hold, dropped in an interrupt")
            ),
            Question(
                name: "transient-state-survives-a-hole",
                prose: """
                    A page that is in transit, unregistered, and loses its memory to a hole stays in a state in which \
                    nobody may map it, and registration warns that it finds no folio.
                    """,
                source: nil,
                claims: claim("Nobody warns.", .noWarning, .version5, "punch")
                    + claim("No page is left in transit.", .refusalChangesNothing, .version5, "punch")
                    + claim("`gmem-custody`: no page is left in transit.", .refusalChangesNothing, .custody, "punch")
            ),
        ]
    }
}
