import Custody
import CustodyOptions

/// A probe as `custody probe --json` prints it.
struct ProbeRecord: Encodable {
    let backend: String
    let mode: String?
    let available: Bool
    let reason: String?
    let remarks: [String]
    let capabilities: Capabilities

    init(_ probe: BackendProbe) {
        backend = probe.backend
        mode = probe.mode
        available = probe.unavailable == nil
        reason = probe.unavailable?.description
        remarks = probe.remarks
        capabilities = probe.capabilities
    }
}
