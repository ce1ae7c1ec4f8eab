import CustodyProtocols

/// A page that notes which of its fields are read and written.
///
/// Who wrote a page last is not noted: no packed state has it, so that no step of an exploration depends on it.
struct RecordedPage: PageFields {
    private(set) var state: PageState
    private(set) var written: UInt128 = 0
    private let offset: PageOffset
    private let log: AccessLog

    init(_ state: PageState, _ offset: PageOffset, _ log: AccessLog) {
        self.state = state
        self.offset = offset
        self.log = log
    }

    var mappability: Mappability {
        get {
            log.accesses.reads |= Accesses.page(offset, .mappability)
            return state.mappability
        }
        set {
            written |= Accesses.page(offset, .mappability)
            state.mappability = newValue
        }
    }

    var isGuestMapped: Bool {
        get {
            log.accesses.reads |= Accesses.page(offset, .isGuestMapped)
            return state.isGuestMapped
        }
        set {
            written |= Accesses.page(offset, .isGuestMapped)
            state.isGuestMapped = newValue
        }
    }

    var hostMappings: UInt8 {
        get {
            log.accesses.reads |= Accesses.page(offset, .hostMappings)
            return state.hostMappings
        }
        set {
            written |= Accesses.page(offset, .hostMappings)
            state.hostMappings = newValue
        }
    }

    var writer: Writer {
        get { state.writer }
        set { state.writer = newValue }
    }
}
