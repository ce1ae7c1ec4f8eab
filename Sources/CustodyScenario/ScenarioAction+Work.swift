import Custody

// How much a step is to do.
extension ScenarioAction {
    /// The most time that the step lets pass.
    var time: Duration {
        switch self {
        case .wait(let time), .settled(_, within: let time): time
        default: .zero
        }
    }

    /// The number of bytes that the step stores or loads.
    var byteCount: Int {
        switch self {
        case .guestWrites(_, let bytes, _, _), .hostWrites(let bytes, _, _), .deviceWrites(_, let bytes, _),
            .neighbourWrites(_, let bytes, _):
            bytes.count
        case .guestReads(_, let expectation, _, _), .hostReads(let expectation, _, _),
            .deviceReads(_, let expectation, _), .neighbourReads(_, let expectation, _):
            expectation.count
        default: 0
        }
    }

    /// The pages that a back end changes, throws away or measures in the step, one by one as a rule.
    var changedRange: PageRange? {
        switch self {
        case .guestRequests, .hostConverts, .hostDiscards: range
        case .backed(_, let range): range
        default: nil
        }
    }
}
