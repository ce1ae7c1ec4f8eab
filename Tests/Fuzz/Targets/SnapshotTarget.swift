import Custody
import CustodyOptions
import CustodyPolicy
import CustodyTool
import Foundation
import SimulationBackend

enum SnapshotTarget {
    static func run(_ bytes: [UInt8]) throws(FuzzTarget.Failure) {
        guard let snapshot = try? JSONText.decode(ControllerSnapshot.self, from: bytes) else { return }
        let encoder = JSONEncoder()
        if let written = try? encoder.encode(snapshot) {
            let again = try? JSONText.decode(ControllerSnapshot.self, from: Array(written))
            try FuzzTarget.require(again == snapshot, "a snapshot that is written and read is not the same")
        } else {
            throw FuzzTarget.Failure(description: "a snapshot that was read cannot be written")
        }
        _ = Drawing.all(of: snapshot)
        var ownership = PageRunMap(bounds: snapshot.layout.bounds, state: Ownership.shared)
        for run in snapshot.ownership where run.ownership != .inTransit { ownership.set(run.range, to: run.ownership) }
        let controller = MemoryController(
            backend: SimulationBackend(guest: GuestConfiguration(layout: snapshot.layout), ownership: ownership),
            policy: AllowAll(),
            restoring: snapshot
        )
        let page = snapshot.layout.bounds.start
        let lease = try? controller.lease(PageRange(page), .pin, for: Holder(device: "fuzz"))
        for target in [Ownership.private, .shared] {
            _ = controller.handle(
                GuestRequest(processor: 0, address: page.address.rawValue, byteCount: 4096, target: target)
            )
        }
        lease?.release()
        let after = controller.snapshot()
        try FuzzTarget.require(after.inconsistency == nil, "it goes on inconsistent: \(after.inconsistency ?? "")")
    }
}
