/// What can happen to a page, as the rows of a protocol's table name it.
public enum DescribedEvent: String, CaseIterable, Sendable {
    /// A request for shared memory.
    case set = "set_mappable"
    /// A request for private memory.
    case clear = "clear_mappable"
    /// Registration of the hand-over.
    case register = "register_callback"
    /// The last reference that is not the file's is dropped.
    case finalPut = "final folio_put"
    /// A fault of the host.
    case hostFault = "host fault"
    /// A hole is punched.
    case punch = "punch_hole"

    /// The operation that makes it happen.
    var operation: Operation {
        switch self {
        case .set: Operation(.convertToShared, behavior: .leaves)
        case .clear: Operation(.requestPrivate, behavior: .leaves)
        case .register: Operation(.register, behavior: .leaves)
        case .finalPut: Operation(.hold, accesses: 0)
        case .hostFault: Operation(.hostAccess, writes: false)
        case .punch: Operation(.punchHole)
        }
    }

    /// Whether it can happen: a put needs a reference, a fault a page that is not mapped.
    func canHappen(under circumstance: Circumstance) -> Bool {
        switch self {
        case .finalPut: circumstance.holders > 0
        case .hostFault: !circumstance.isMapped
        case .set, .clear, .register, .punch: true
        }
    }

    /// What `handover` calls it.
    func name(in handover: HandoverProtocol) -> String {
        switch (self, handover.rules.registration) {
        case (.set, .never): "SET_MEMORY_ATTRIBUTES2(0)"
        case (.clear, .never): "SET_MEMORY_ATTRIBUTES2(PRIVATE)"
        case (.set, .freeze): "set_shared"
        case (.clear, .freeze): "clear_shared"
        default: rawValue
        }
    }
}
