import Custody
import CustodyOptions
import CustodyProtocols

/// Steps that drive the kernel's protocol itself.
extension StepFormat {
    static let kernel = [
        Form<ScenarioAction>(
            "kernel",
            .mapping(
                operation,
                .address,
                .required("as", .text, "The process that begins the call, by its name."),
                .optional("steps", stepCount, "Where it is left; it goes on as the schedule lets it unless named.")
            ) { (operation, address, name: String, steps) in
                .processBegins(name, operation, address: address, steps: steps)
            },
            having: "as"
        ),
        Form(
            "kernel",
            .mapping(operation, .address, result) { (operation, address, expectation) in
                .kernelCalls(operation, address: address, expectation)
            }
        ),
        Form(
            "process",
            .mapping(
                process,
                .required("steps", stepCount, "So many steps are made."),
                .optional("waits", wait, "What it waits for then; nothing unless named.")
            ) { (name, steps, wait: Wait?) in .processAdvances(name, steps: steps, waitsFor: wait ?? .none) },
            having: "steps"
        ),
        Form("process", .mapping(process, result) { (name, expectation) in .processFinishes(name, expectation) }),
        Form(
            "state",
            .mapping(
                .required(
                    "state",
                    Format<Mappability>.word([("all", .all), ("guest", .guest), ("none", .none)]),
                    "Who may map the page."
                ),
                .address,
                .optional("registered", .boolean, "Whether a hand-over is registered."),
                .optional("references", .integer(in: -1000...1000), "The count of references."),
                .optional("mappings", .integer(in: 0...1000), "The count of mappings.")
            ) { (state, address, registered: Bool?, references, mappings) in
                .kernelState(
                    address: address,
                    state,
                    registered: registered,
                    references: references,
                    mappings: mappings
                )
            }
        ),
        Form(
            "saw",
            .mapping(
                .required(
                    "saw",
                    Format<[Events]>.list(of: .word(Events.ordeals)),
                    "Of what should never happen in a kernel, exactly these things have happened so far."
                )
            ) { (events: [Events]) in .kernelSaw(events.reduce(into: []) { $0.formUnion($1) }) }
        ),
    ]

    private static let process = Key.required("process", Format<String>.text, "A process, by its name, goes on.")

    private static let stepCount = Format<Int>.integer(in: 0...10_000)

    private static let wait = Format<Wait>.word([
        ("invalidate-lock", .invalidateLock), ("offsets-lock", .offsetsLock), ("folio-lock", .folioLock),
        ("own-lock", .ownLock), ("count", .count), ("handover", .handover), ("work", .work),
    ])

    /// A call of the kernel's own.
    private static let operation = Key<CustodyProtocols.Operation>.merged(
        .required("kernel", kind, "The call."),
        .defaulting("size", .pages(), to: "4KiB", "The bytes that it is about: a multiple of 4 KiB."),
        .defaulting("accesses", .integer(in: 0...255), to: "1", "How often it touches the page."),
        .optional("writes", .boolean, "Whether it stores."),
        .optional("atomic", .boolean, "Whether it must not sleep."),
        .defaulting("space", .integer(in: 0...7), to: "0", "The address space."),
        .defaulting(
            "caller",
            .word([
                ("uses-outcome", CustodyProtocols.Operation.CallerBehavior.usesOutcome),
                ("believes-registered", .believesRegistered), ("asks-again", .asksAgain), ("leaves", .leaves),
            ]),
            to: "leaves",
            "What the caller does with the outcome."
        )
    ) { (kind, count: UInt64, accesses: Int, writes: Bool?, atomic: Bool?, space: Int, caller) in
        Operation(
            kind,
            count: count,
            accesses: UInt8(accesses),
            writes: writes ?? false,
            context: atomic == true ? .atomic : .process,
            addressSpace: UInt8(space),
            behavior: caller
        )
    }

    private static let kind = Format<CustodyProtocols.Operation.Kind>.word([
        ("convert-to-private", .convertToPrivate), ("convert-to-shared", .convertToShared),
        ("request-private", .requestPrivate), ("register", .register), ("host-access", .hostAccess),
        ("host-unmap", .hostUnmap), ("pin", .pin), ("speculate", .speculate), ("hold", .hold),
        ("guest-access", .guestAccess), ("punch-hole", .punchHole), ("tear-down", .tearDown), ("poison", .poison),
    ])

    /// What a call is to come to.
    private static let result = Key<ScenarioAction.KernelExpectation>.merged(
        .optional("expect", returned, "What it returns."),
        .optional(
            "means",
            .word([
                ("completed", CustodyProtocols.Outcome.completed), ("blocked-by-mapping", .blockedByMapping),
                ("blocked-by-reference", .blockedByReferences), ("pending", .pending), ("cancelled", .cancelled),
                ("failed", .failed),
            ]),
            "What that means."
        ),
        .optional("stop", .size, "The first page that did not get there, in bytes of the guest."),
        .optional("stuck", wait, "What it waits for, for ever.")
    ) { (returned, meaning, stop: ByteCount?, stuck: Wait?) in
        var expectation = ScenarioAction.KernelExpectation(stuck: stuck ?? .none)
        // As with every other step: where nothing is said, it is expected to succeed.
        let isSilent = returned == nil && meaning == nil && expectation.stuck == .none
        expectation.result = isSilent ? .success : returned
        expectation.outcome = meaning
        expectation.stop = stop?.rawValue
        return expectation
    }

    /// 0 is the one result that YAML takes for a number.
    private static let returned = Format<KernelResult>.word(KernelResult.allCases.map { ($0.name, $0) })
        .annotated(["enum": .array([0] + KernelResult.allCases.map { .string($0.name) })])
}
