#if Libvirt
import Custody
import FoundationEssentials

// Questions to QEMU's monitor, whose protocol is JSON (QEMU docs/interop/qmp-spec). Libvirt marks a domain that was sent
// one as tainted: it says so in its log, and nothing else follows from it.

extension Domain {
    /// Asks QEMU, and reads the answer.
    ///
    /// - Throws: `BackendError` with code ``BackendError/Code/system`` where QEMU says no or something else, with what
    ///   libvirt says where it does not get there.
    func ask<Answer: Decodable>(
        _ command: String,
        _ arguments: [String: String]? = nil,
        for answer: Answer.Type
    ) throws(BackendError) -> Answer {
        let reply: MonitorReply<Answer>
        do {
            let question = try JSONEncoder().encode(MonitorQuestion(execute: command, arguments: arguments))
            let text = try monitor(String(decoding: question, as: UTF8.self))
            reply = try JSONDecoder().decode(MonitorReply<Answer>.self, from: Data(text.utf8))
        } catch let error as VirError {
            throw error.ofRunningDomain("QEMU cannot be asked ‘\(command)’")
        } catch {
            throw BackendError(.system, "QEMU's answer to ‘\(command)’ cannot be read", cause: error)
        }
        guard let value = reply.return else {
            let reason = reply.error.map { "\($0.desc) (\($0.class))" } ?? "nothing"
            throw BackendError(.system, "QEMU answers ‘\(command)’ with: \(reason)")
        }
        return value
    }
}

private struct MonitorQuestion: Encodable {
    let execute: String
    let arguments: [String: String]?
}

private struct MonitorReply<Answer: Decodable>: Decodable {
    struct Failure: Decodable {
        let `class`: String
        let desc: String
    }

    let `return`: Answer?
    let error: Failure?
}

#endif
