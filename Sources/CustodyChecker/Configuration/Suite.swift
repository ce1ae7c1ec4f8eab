public import CustodyProtocols

/// Named sets of actors: each asks one question of a protocol.
public enum Suite {
    /// The configurations of the suite for `handover`, all small enough to be explored to the end in seconds.
    public static func configurations(for handover: HandoverProtocol) -> [Configuration] {
        let own = handover.rules.registration.isSeparate ? separateRegistration : []
        let all = conversion + references + callers + truncation + ranges + crowds + own
        return all.filter { !handover.machine.isInPlace || !$0.folios.contains(.pending) }.map { entry in
            var configuration = entry
            configuration.handover = handover
            return configuration
        }
    }

    /// The configuration called `name` for `handover`, or nil.
    public static func configuration(_ name: String, for handover: HandoverProtocol) -> Configuration? {
        configurations(for: handover).first { $0.name == name }
    }

    private static let toPrivate = Operation(.convertToPrivate)
    private static let toShared = Operation(.convertToShared)
    private static let hold = Operation(.hold)
    private static let speculate = Operation(.speculate)

    private static func make(
        _ name: String,
        _ folios: [Configuration.InitialFolio],
        _ operations: [Operation],
        pagesPerFolio: Int = 1,
        spare: Int = 0,
        addressSpaces: Int = 1
    ) -> Configuration {
        Configuration(
            name,
            .version5,
            folios: folios,
            pagesPerFolio: pagesPerFolio,
            spareFolios: spare,
            addressSpaces: addressSpaces,
            operations: operations
        )
    }

    /// Who converts, and against whom.
    private static let conversion = [
        make("no memory", [.absent], [toPrivate], spare: 1),
        make("alone", [.present], [toPrivate]),
        make("back", [.present], [toPrivate, toShared]),
        make("back while held", [.present], [toPrivate, toShared, hold]),
        make("two requests", [.present], [toPrivate, toPrivate, hold]),
        make("two requests and back", [.present], [toPrivate, toPrivate, toShared, hold]),
        make("private already", [.ownedByGuest], [toPrivate, speculate]),
        make("guest", [.present], [toPrivate, Operation(.guestAccess, accesses: 2), hold]),
        make("guest faults in", [.absent], [toPrivate, Operation(.guestAccess), Operation(.hostAccess)], spare: 1),
        make("two guests", [.absent], [toPrivate, Operation(.guestAccess), Operation(.guestAccess)], spare: 1),
        make("memory failure", [.mapped], [toPrivate, Operation(.poison)]),
        make("memory failure and fault", [.mapped], [Operation(.hostAccess, accesses: 2), Operation(.poison)]),
        make("memory failure and guest", [.present], [Operation(.guestAccess, accesses: 2), Operation(.poison)]),
    ]

    /// Who refers to the memory.
    private static let references = [
        make("mapped", [.mapped], [toPrivate]),
        make("fault", [.absent], [toPrivate, Operation(.hostAccess, accesses: 2)], spare: 1),
        make("fault and unmap", [.mapped], [toPrivate, Operation(.hostAccess), Operation(.hostUnmap)]),
        make("fault while pending", [.present], [toPrivate, Operation(.hostAccess), hold]),
        make("pin", [.mapped], [toPrivate, Operation(.pin, accesses: 2), Operation(.hostUnmap)]),
        make("two pins", [.mapped], [toPrivate, Operation(.pin), Operation(.pin), Operation(.hostUnmap)]),
        make("hold", [.present], [toPrivate, Operation(.hold, accesses: 2)]),
        make("hold, dropped in an interrupt", [.present], [toPrivate, Operation(.hold, context: .atomic)]),
        make("speculate", [.present], [toPrivate, speculate, speculate]),
        make("hold and speculate", [.present], [toPrivate, hold, speculate]),
        make("hold, speculate and back", [.present], [toPrivate, toShared, hold, speculate]),
        make(
            "two address spaces",
            [.mapped],
            [toPrivate, Operation(.hostAccess, addressSpace: 1), Operation(.hostUnmap)],
            addressSpaces: 2
        ),
    ]

    /// What the caller makes of the answer.
    private static let callers = [
        make(
            "believes it is registered",
            [.mapped],
            [Operation(.convertToPrivate, behavior: .believesRegistered), Operation(.hostUnmap)]
        ),
        make(
            "asks again",
            [.mapped],
            [Operation(.convertToPrivate, behavior: .asksAgain), Operation(.hostUnmap), hold]
        ),
        make("leaves", [.mapped], [Operation(.convertToPrivate, behavior: .leaves)]),
        make("leaves while held", [.present], [Operation(.convertToPrivate, behavior: .leaves), hold]),
    ]

    /// Who takes the memory away.
    private static let truncation = [
        make("punch", [.present], [toPrivate, Operation(.punchHole), hold], spare: 1),
        make("punch while pending", [.pending], [Operation(.punchHole), hold], spare: 1),
        make("punch, back", [.present], [toPrivate, toShared, Operation(.punchHole), hold], spare: 1),
        make("punch and fault", [.mapped], [toPrivate, Operation(.punchHole), Operation(.hostAccess)], spare: 1),
        make("punch and pin", [.mapped], [Operation(.punchHole), Operation(.pin), toPrivate], spare: 1),
        make("punch and guest", [.present], [Operation(.punchHole), Operation(.guestAccess), toPrivate], spare: 1),
        make("tear down while pending", [.pending], [Operation(.tearDown), hold]),
        make("memory failure and punch", [.mapped], [Operation(.poison), Operation(.punchHole), toPrivate]),
        make("tear down while held", [.mapped], [Operation(.tearDown), hold, speculate]),
    ]

    /// More than a page.
    private static let ranges = [
        make(
            "range",
            [.present, .present],
            [Operation(.convertToPrivate, count: 2), Operation(.hold, start: PageOffset(1))]
        ),
        make(
            "range against range",
            [.present, .present],
            [Operation(.convertToPrivate, count: 2), Operation(.convertToShared, count: 2), hold]
        ),
        make(
            "large folio",
            [.present],
            [Operation(.convertToPrivate, count: 2), Operation(.convertToShared, count: 2), hold],
            pagesPerFolio: 2
        ),
        make(
            "large folio, a request a page",
            [.present],
            [toPrivate, Operation(.convertToPrivate, start: PageOffset(1)), hold],
            pagesPerFolio: 2
        ),
        make(
            "large folio, held",
            [.present],
            [Operation(.convertToPrivate, count: 2), hold],
            pagesPerFolio: 2
        ),
    ]

    /// Many at once.
    private static let crowds = [
        make(
            "crowd on a mapped page",
            [.mapped],
            [toPrivate, toShared, Operation(.hostAccess), Operation(.pin), Operation(.hostUnmap)]
        ),
        make(
            "crowd on a held page",
            [.present],
            [toPrivate, toPrivate, toShared, hold, hold, speculate]
        ),
        make(
            "crowd with a hole",
            [.mapped],
            [toPrivate, toShared, Operation(.punchHole), Operation(.hostAccess), hold],
            spare: 1
        ),
        make(
            "crowd with a guest",
            [.mapped],
            [toPrivate, Operation(.guestAccess), Operation(.punchHole), Operation(.pin), Operation(.hostAccess)],
            spare: 1
        ),
    ]

    /// The two calls of a conversion by two threads, as the proposal allows.
    private static let separateRegistration = [
        make(
            "registration apart from the request",
            [.present],
            [Operation(.requestPrivate), Operation(.register, behavior: .leaves), toShared, hold]
        ),
        make(
            "registration apart, punch",
            [.present],
            [Operation(.requestPrivate), Operation(.register, behavior: .leaves), Operation(.punchHole), hold],
            spare: 1
        ),
    ]
}
