public import CustodyProtocols

/// The kinds of actors by the names that a command line uses.
///
/// An actor is written as its name, then, if need be, `@PAGE` or `@PAGE+COUNT` for the pages that it works on, then any
/// of `:atomic`, `:reads`, `:twice`, `:space-N`, `:believes-registered`, `:asks-again` and `:leaves`.
public enum ActorName: String, CaseIterable, Sendable {
    /// See ``sentence``.
    case converter
    /// See ``sentence``.
    case convertBack = "convert-back"
    /// See ``sentence``.
    case requester
    /// See ``sentence``.
    case registrar
    /// See ``sentence``.
    case host
    /// See ``sentence``.
    case unmapper
    /// See ``sentence``.
    case pin
    /// See ``sentence``.
    case speculative
    /// See ``sentence``.
    case finalPut = "final-put"
    /// See ``sentence``.
    case guest
    /// See ``sentence``.
    case punch
    /// See ``sentence``.
    case tearDown = "tear-down"
    /// See ``sentence``.
    case memoryFailure = "memory-failure"

    /// What the actor does.
    public var sentence: String {
        switch self {
        case .converter: "makes the pages private: asks, and registers where that is a call of its own"
        case .convertBack: "makes the pages shared again"
        case .requester: "makes the first call of a conversion alone"
        case .registrar: "makes the second call of a conversion alone"
        case .host: "touches a page through a host mapping, and faults it in"
        case .unmapper: "removes the pages from a host address space"
        case .pin: "pins a page through a host mapping without a lock, touches it, lets go"
        case .speculative: "takes a reference without a mapping, never touches the page, drops it"
        case .finalPut: "holds a reference from the beginning (DMA), touches the page, drops it"
        case .guest: "touches a page as the guest, and faults it in"
        case .punch: "punches a hole"
        case .tearDown: "unmaps the file, discards all of it and ends the inode"
        case .memoryFailure: "reports the memory of a page as broken"
        }
    }

    /// The words that can follow a name.
    public static let words = [
        "atomic", "reads", "twice", "space-0", "space-1", "space-2", "space-3", "believes-registered", "asks-again",
        "leaves",
    ]

    /// What is wrong with the text of an actor.
    public enum ParseError: Error, Equatable, Sendable {
        /// The name is not known.
        case name(String)
        /// A word after the name is not known.
        case word(String)
        /// The pages are not of the form PAGE or PAGE+COUNT, or do not lie within the file.
        case pages(String)
        /// A word says otherwise than one before it, or the same again.
        case contradiction(String, String)
    }

    /// The operation that `text` stands for, on a file of `pages` pages. Where it names no pages, an actor that converts
    /// or discards works on all of them, any other on the first.
    public static func operation(_ text: String, pages: Int) throws(ParseError) -> Operation {
        var words = text.split(separator: ":", omittingEmptySubsequences: false).map(String.init)
        let head = words.removeFirst().split(separator: "@", maxSplits: 1, omittingEmptySubsequences: false)
        let name = String(head[0])
        guard let known = ActorName(rawValue: name) else { throw .name(name) }
        var operation = Operation(known.kind)
        if known.worksOnAll { operation.count = UInt64(pages) }
        if head.count == 2 {
            let parts = head[1].split(separator: "+", omittingEmptySubsequences: false).map { UInt64($0) }
            guard parts.count <= 2, let start = parts[0], let count = parts.count == 2 ? parts[1] : 1, count > 0,
                start < UInt64(pages), count <= UInt64(pages) - start
            else { throw .pages(String(head[1])) }
            operation.start = PageOffset(start)
            operation.count = count
        }
        // What a word is about, and which word that was.
        var said: [String: String] = [:]
        for word in words {
            let subject =
                word.hasPrefix("space-")
                ? "space" : ["believes-registered", "asks-again", "leaves"].contains(word) ? "behavior" : word
            if let other = said.updateValue(word, forKey: subject) { throw .contradiction(word, other) }
            switch word {
            case "atomic": operation.context = .atomic
            case "reads": operation.writes = false
            case "twice": operation.accesses = 2
            case "space-0": operation.addressSpace = 0
            case "space-1": operation.addressSpace = 1
            case "space-2": operation.addressSpace = 2
            case "space-3": operation.addressSpace = 3
            case "believes-registered": operation.behavior = .believesRegistered
            case "asks-again": operation.behavior = .asksAgain
            case "leaves": operation.behavior = .leaves
            default: throw .word(word)
            }
        }
        return operation
    }

    private var worksOnAll: Bool {
        switch self {
        case .converter, .convertBack, .requester, .registrar, .unmapper, .punch, .tearDown: true
        default: false
        }
    }

    private var kind: Operation.Kind {
        switch self {
        case .converter: .convertToPrivate
        case .convertBack: .convertToShared
        case .requester: .requestPrivate
        case .registrar: .register
        case .host: .hostAccess
        case .unmapper: .hostUnmap
        case .pin: .pin
        case .speculative: .speculate
        case .finalPut: .hold
        case .guest: .guestAccess
        case .punch: .punchHole
        case .tearDown: .tearDown
        case .memoryFailure: .poison
        }
    }
}
