#if Libvirt
import CLibvirt
import Glibc

/// Who answers libvirt's questions when a connection is made (`virConnectOpenAuth`).
final class ConnectionAuthentication: Sendable {
    /// Answers a question; `nil` gives up the connection. Called on the thread that connects, while it does.
    typealias Answer = @Sendable (ConnectionCredential) -> String?

    private let answer: Answer

    init(_ answer: @escaping Answer) { self.answer = answer }

    /// Connects; `nil` where that fails.
    func open(_ uri: String) -> OpaquePointer? {
        var kinds = ConnectionCredential.Kind.allCases.map(\.rawValue)
        return unsafe kinds.withUnsafeMutableBufferPointer { kinds in
            var auth = unsafe virConnectAuth()
            unsafe auth.credtype = kinds.baseAddress
            unsafe auth.ncredtype = UInt32(kinds.count)
            unsafe auth.cb = ask
            unsafe auth.cbdata = Unmanaged.passUnretained(self).toOpaque()
            return unsafe virConnectOpenAuth(uri, &auth, 0)
        }
    }

    /// Libvirt frees the answers.
    fileprivate func answerAll(_ questions: UnsafeMutableBufferPointer<virConnectCredential>) -> Int32 {
        for index in questions.indices {
            let question = unsafe questions[index]
            func text(_ pointer: UnsafePointer<CChar>?) -> String? { unsafe pointer.map { unsafe String(cString: $0) } }
            guard let kind = unsafe ConnectionCredential.Kind(rawValue: question.type) else { return -1 }
            let credential = unsafe ConnectionCredential(
                kind: kind,
                prompt: text(question.prompt) ?? "",
                challenge: text(question.challenge),
                standardAnswer: text(question.defresult)
            )
            guard let answer = answer(credential) else { return -1 }
            unsafe questions[index].result = unsafe strdup(answer)
            unsafe questions[index].resultlen = UInt32(clamping: answer.utf8.count)
        }
        return 0
    }
}

private let ask: virConnectAuthCallbackPtr = { questions, count, context in
    guard let questions = unsafe questions, let context = unsafe context else { return -1 }
    let authentication = unsafe Unmanaged<ConnectionAuthentication>.fromOpaque(context).takeUnretainedValue()
    return unsafe authentication.answerAll(UnsafeMutableBufferPointer(start: questions, count: Int(count)))
}

#endif
