/// Who answers a guest's requests.
public protocol GuestRequestHandler: Sendable {
    /// Answers one request, on the thread of the virtual processor that asked. It does not wait for a hand-over.
    func handle(_ request: GuestRequest) -> GuestReply
}
