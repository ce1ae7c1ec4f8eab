import Custody
import CustodyPolicy

/// One line of the script: what happens before, and what is asked then.
struct Question {
    /// What happens first.
    enum Prelude {
        case nothing
        /// A device pins the page at this offset.
        case pin(at: UInt64)
        /// The device lets go.
        case release
        /// The monitor sets a mark.
        case mark(String)
    }

    let prelude: Prelude
    let requester: RequesterKind
    let target: Ownership
    /// Where, in bytes from the beginning of the guest's memory.
    let offset: UInt64
    let byteCount: UInt64
    let contents: ConversionRequest.Contents

    init(
        _ requester: RequesterKind,
        _ target: Ownership,
        at offset: UInt64,
        _ byteCount: UInt64,
        contents: ConversionRequest.Contents = .any,
        after prelude: Prelude = .nothing
    ) {
        self.prelude = prelude
        self.requester = requester
        self.target = target
        self.offset = offset
        self.byteCount = byteCount
        self.contents = contents
    }

    /// What may make back ends answer differently: capabilities, by the names of ``Capabilities``.
    var reliesOn: Set<String> {
        var names: Set<String> = []
        if target == .host { names.formUnion(["reclaim", "hostUnit"]) }
        if contents != .any {
            names.insert("contents.to" + "\(target)".prefix(1).uppercased() + "\(target)".dropFirst())
        }
        let isWhole = [offset, byteCount].allSatisfy { $0.isMultiple(of: PageSize.large.bytes) }
        if !isWhole { names.insert("granularity") }
        return names
    }

    var text: String {
        let before =
            switch prelude {
            case .nothing: ""
            case .pin(let offset): "nic pins +\(ByteCount(offset)); "
            case .release: "nic releases; "
            case .mark(let name): "monitor marks ‘\(name)’; "
            }
        let need = contents == .any ? "" : ", contents \(contents.rawValue)"
        return before + "\(requester.rawValue): \(target), \(ByteCount(byteCount)) at +\(ByteCount(offset))\(need)"
    }

    private static let mebibyte: UInt64 = 1 << 20

    /// The script: each rule of the policy decides once, and what is asked of a back end differs where they do.
    static let all: [Question] = [
        Question(.guest, .private, at: 0, 16 * mebibyte),
        Question(.guest, .shared, at: 0, 8192),
        Question(.host, .host, at: 0, 8192),
        Question(.host, .shared, at: 2 * mebibyte, 8192),
        Question(.guest, .shared, at: 2 * mebibyte, mebibyte),
        Question(.guest, .shared, at: 4 * mebibyte, 2 * mebibyte),
        Question(.guest, .shared, at: 8 * mebibyte, 4096),
        Question(.guest, .private, at: 4 * mebibyte, mebibyte),
        Question(.guest, .private, at: 2 * mebibyte, mebibyte, after: .pin(at: 2 * mebibyte)),
        Question(.guest, .shared, at: 2 * mebibyte, mebibyte),
        Question(.host, .private, at: 2 * mebibyte, 65536, contents: .preserved, after: .release),
        Question(.host, .private, at: 2 * mebibyte, mebibyte),
        Question(.guest, .host, at: 12 * mebibyte, 65536),
        Question(.guest, .private, at: 1 << 40, 8192),
        Question(.guest, .private, at: 100, 8192),
        Question(.guest, .private, at: 0, 0),
        Question(.guest, .shared, at: 6 * mebibyte, 8192),
        Question(.guest, .private, at: 6 * mebibyte, 8192),
        Question(.guest, .shared, at: 6 * mebibyte, 8192),
        Question(.guest, .private, at: 6 * mebibyte, 8192),
        Question(.guest, .shared, at: 6 * mebibyte, 8192),
        Question(.guest, .shared, at: 7 * mebibyte, 8192, after: .mark("launched")),
    ]
}
