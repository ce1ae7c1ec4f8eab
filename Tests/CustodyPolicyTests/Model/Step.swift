import Custody

/// One thing that happens in a story. Whatever was left out before it, it means something or nothing at all: a number
/// of a lease, hand-over or listener counts round and round among those that there are.
enum Step: Sendable, Hashable {
    /// How long a requester waits for holders.
    enum Patience: Sendable, Hashable {
        case none, endless
        case milliseconds(Int)
    }

    /// What becomes of a commit.
    enum Commit: String, Sendable, CaseIterable {
        case fail, block, pend, pendAndComplete, pendAndFail
    }

    case convert(Range<Int>, Ownership, by: RequesterName, Patience, isPrefix: Bool)
    case lease(Range<Int>, LeaseKind, yields: Bool)
    case release(Int)
    case cancel(Int)
    case pass(milliseconds: Int)
    case discard(Range<Int>)
    case launch
    case touch(Int, by: Party)
    /// A listener joins that refuses the n-th preparation of its life.
    case join(refusing: Int?)
    case leave(Int)
    /// A listener refuses the n-th preparation from now on.
    case refuse(listener: Int, nth: Int)
    /// The n-th call from now on goes wrong.
    case failPrepare(Int)
    case commit(Int, Commit)
    case failUndo(Int)
    case failDiscard(Int)
    /// The back end ends a hand-over that it completes by itself.
    case endLate(Int, completes: Bool)
    case disconnect
    /// Pages change hands and nobody is told, while the back end is away.
    case drift(Int, Ownership)
    case reconnect(droppingHandovers: Bool)
    case restart
    case lose

    enum RequesterName: String, Sendable, CaseIterable {
        case guest, host, device
    }
}

extension Step.RequesterName {
    var party: Party { self == .guest ? .guest : .host }
}

extension Step: CustomStringConvertible {
    /// The step as Swift has it.
    var description: String {
        switch self {
        case .convert(let pages, let target, let requester, let patience, let isPrefix):
            ".convert(\(pages), .\(name(target)), by: .\(requester.rawValue), .\(patience), isPrefix: \(isPrefix))"
        case .lease(let pages, let kind, let yields): ".lease(\(pages), .\(kind.rawValue), yields: \(yields))"
        case .release(let number): ".release(\(number))"
        case .cancel(let number): ".cancel(\(number))"
        case .pass(let time): ".pass(milliseconds: \(time))"
        case .discard(let pages): ".discard(\(pages))"
        case .launch: ".launch"
        case .touch(let page, let party): ".touch(\(page), by: .\(party.rawValue))"
        case .join(let veto): ".join(refusing: \(veto.map { "\($0)" } ?? "nil"))"
        case .leave(let number): ".leave(\(number))"
        case .refuse(let listener, let nth): ".refuse(listener: \(listener), nth: \(nth))"
        case .failPrepare(let nth): ".failPrepare(\(nth))"
        case .commit(let nth, let end): ".commit(\(nth), .\(end.rawValue))"
        case .failUndo(let nth): ".failUndo(\(nth))"
        case .failDiscard(let nth): ".failDiscard(\(nth))"
        case .endLate(let number, let completes): ".endLate(\(number), completes: \(completes))"
        case .disconnect: ".disconnect"
        case .drift(let page, let ownership): ".drift(\(page), .\(name(ownership)))"
        case .reconnect(let drops): ".reconnect(droppingHandovers: \(drops))"
        case .restart: ".restart"
        case .lose: ".lose"
        }
    }

    private func name(_ ownership: Ownership) -> String { ownership == .inTransit ? "inTransit" : "\(ownership)" }
}

extension Step.Patience: CustomStringConvertible {
    var description: String {
        switch self {
        case .none: "none"
        case .endless: "endless"
        case .milliseconds(let time): "milliseconds(\(time))"
        }
    }
}
