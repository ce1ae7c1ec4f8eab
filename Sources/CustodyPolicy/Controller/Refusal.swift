import Custody

/// Why changes that were claimed could not be carried out. Everything is as it was, unless the back end is lost
/// or the guest kept what it had been given.
enum Refusal: Error {
    case backend(BackendError)
    case vetoed(by: String, ListenerVeto)

    func error(for range: PageRange) -> ConversionError {
        switch self {
        case .backend(let error):
            ConversionError(.backend, "the back end could not do it", range: range, cause: error)
        case .vetoed(let listener, let veto):
            ConversionError(
                veto.isTransient ? .busy : .vetoed,
                "\(listener) refuses: \(veto.reason)",
                range: range
            )
        }
    }

    var result: TicketResult {
        switch self {
        case .backend(let error): .failed(error)
        case .vetoed(let listener, let veto): .vetoed(by: listener, reason: veto.reason)
        }
    }
}
