#if Libvirt
import Foundation

/// What QEMU's monitor answers: `{"return": …}`, or an error, which libvirt hands through as an answer.
package enum MonitorAnswer {
    /// The text that a command returned; `nil` where it returned something else or failed.
    package static func string(_ answer: String) -> String? {
        struct Answer: Decodable {
            let `return`: String
        }
        return try? JSONDecoder().decode(Answer.self, from: Data(answer.utf8)).return
    }
}

#endif
