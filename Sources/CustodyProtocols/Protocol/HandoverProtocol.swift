/// A protocol by which guest memory changes hands between host and guest, selectable by its name.
public struct HandoverProtocol: Hashable, Sendable {
    /// The name, as configurations and command lines write it.
    public var name: String
    /// One sentence: what it is.
    public var summary: String
    /// Where it was published: a lore message id, or a document of this project.
    public var source: String
    /// Where it differs from the others.
    public var rules: Rules

    /// The proposal as it was posted, bugs included.
    public static let version5 = HandoverProtocol(
        name: "gmem-v5",
        summary: "RFC PATCH v5: the type is set, the file's references are subtracted and the rest is looked at",
        source: "lore 20250117163001.2326672-1-tabba@google.com",
        rules: .version5
    )

    /// The simplification that the review of the proposal asked for.
    public static let version5CallbackOnly: HandoverProtocol = {
        var rules = Rules.version5
        rules.registration = .dropOnly
        return HandoverProtocol(
            name: "gmem-v5-callback-only",
            summary: "version 5, but registration only drops the references and the final put alone completes",
            source: "review of lore 20250117163001.2326672-7-tabba@google.com",
            rules: rules
        )
    }()

    /// The seventh posting: the count is frozen, a spinning lock protects the state.
    public static let version7: HandoverProtocol = {
        var rules = Rules.version5
        rules.check = .freeze
        rules.registration = .freeze
        rules.stateLock = .offsets
        rules.truncation = .restoresAndErases
        rules.checksMapping = true
        rules.completionLocksFolio = true
        rules.storesBeforeUnlock = false
        return HandoverProtocol(
            name: "gmem-v7",
            summary: "PATCH v7: the reference count is frozen instead of looked at; a registered folio answers 0",
            source: "lore 20250328153133.3504118-5-tabba@google.com",
            rules: rules
        )
    }()

    /// The in-place conversion, as its eighth posting has it.
    public static let version8: HandoverProtocol = {
        var rules = Rules.version5
        rules.registration = .never
        return HandoverProtocol(
            name: "gmem-v8",
            summary: "in-place conversion: unmap, every count must be the expected one, all or nothing, else -EAGAIN",
            source: "lore 20260618-gmem-inplace-conversion-v8-0-9d2959357853",
            rules: rules
        )
    }()

    /// The in-place conversion, as it was applied.
    public static let version13: HandoverProtocol = {
        var rules = version8.rules
        rules.looksForMappings = true
        rules.poisonLock = .tries
        return HandoverProtocol(
            name: "gmem-v13",
            summary:
                "in-place conversion as applied: a mapping or a pin refuses at once, a memory failure waits for no lock",
            source: "linux commits 799c9fadc639, dcde2f853ff4 and ad06cf5338bc",
            rules: rules
        )
    }()

    /// Our correction of version 5; `docs/protocols.md` explains each difference.
    public static let custody: HandoverProtocol = {
        var rules = Rules.version5
        rules.registration = .withRequest
        rules.finalPut = .queues
        rules.truncation = .restoresAndCompletes
        rules.guestLocksStateFirst = true
        rules.poisonLock = .none
        return HandoverProtocol(
            name: "gmem-custody",
            summary: "version 5 corrected: one critical section, a completer for final puts, one meaning an answer",
            source: "docs/protocols.md",
            rules: rules
        )
    }()

    /// All protocols, in order of age.
    public static let all: [HandoverProtocol] = [
        .version5, .version5CallbackOnly, .version7, .version8, .version13, .custody,
    ]

    /// The protocol called `name`, or nil.
    public static func named(_ name: String) -> HandoverProtocol? { all.first { $0.name == name } }

    /// The machine that carries the protocol out.
    public var machine: Machine { Machine(rules: rules) }
}
