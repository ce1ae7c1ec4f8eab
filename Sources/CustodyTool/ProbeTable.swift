import Custody
import CustodyOptions

/// The back ends as `custody probe` shows them: one column each, one row for each capability.
struct ProbeTable {
    private let registry: BackendRegistry
    private let probes: [BackendProbe]

    init(_ registry: BackendRegistry, _ probes: [BackendProbe]) {
        self.registry = registry
        self.probes = probes
    }

    var text: String {
        var table = TextTable([""] + probes.map(title))
        for (name, value) in rows { table.add([name] + probes.map(value)) }
        var lines = table.lines
        for probe in probes {
            if let reason = probe.unavailable { lines += ["", "\(title(probe)) is not available here: \(reason)"] }
            for remark in probe.remarks { lines += ["", "\(title(probe)): \(remark)"] }
        }
        lines.append("")
        for provider in registry.providers { lines.append("\(provider.name): \(provider.summary)") }
        return lines.map(\.printable).joined(separator: "\n")
    }

    private func title(_ probe: BackendProbe) -> String {
        probe.mode.map { "\(probe.backend)/\($0)" } ?? probe.backend
    }

    private var rows: [(String, (BackendProbe) -> String)] {
        [
            ("available here", { $0.unavailable == nil ? "yes" : "no" }),
            ("granularity", { "\(ByteCount($0.capabilities.granularity.bytes))" }),
            ("enforcement", { $0.capabilities.enforcement.rawValue }),
            ("contents, to private", { $0.capabilities.contents.toPrivate.rawValue }),
            ("contents, to shared", { $0.capabilities.contents.toShared.rawValue }),
            ("contents, to host", { $0.capabilities.contents.toHost.rawValue }),
            ("pending hand-overs", { $0.capabilities.pendingHandovers.rawValue }),
            ("guest access in transit", { $0.capabilities.transitAccess == .denied ? "denied" : "as before" }),
            ("reclaim", { reclaim($0.capabilities.reclaim) }),
            ("unit of reclaim", { $0.capabilities.hostUnit.rawValue }),
            ("requests can be taken back", { $0.capabilities.takesRequestsBack ? "yes" : "no" }),
            ("vCPUs", { "\($0.capabilities.maximumProcessors)" }),
            ("dirty log", { $0.capabilities.dirtyLog.rawValue }),
            ("populate", { $0.capabilities.populate ? "yes" : "no" }),
            ("hot-plug", { $0.capabilities.hotplug ? "yes" : "no" }),
            ("holders that cannot be seen", { $0.capabilities.unseenHolders?.joined(separator: ", ") ?? "–" }),
            ("largest guest", { "\(ByteCount($0.capabilities.maximumGuestBytes))" }),
        ]
    }

    private func reclaim(_ reclaim: Capabilities.Reclaim) -> String {
        switch reclaim {
        case .unsupported: "no"
        case .offeredByGuest: "offered by guest"
        case .askingGuest: "asking the guest"
        }
    }
}
