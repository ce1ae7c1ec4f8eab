#if Libvirt
import Custody
import Foundation

@testable import LibvirtBackend

/// Keeps the thread that takes events from its turn, for as long as it is there.
final class Standstill {
    private let isOver = DispatchSemaphore(value: 0)

    init(_ backend: LibvirtBackend) {
        let (isOver, hasBegun) = (isOver, DispatchSemaphore(value: 0))
        backend.executor.submit {
            hasBegun.signal()
            isOver.wait()
        }
        hasBegun.wait()
    }

    deinit { isOver.signal() }
}
#endif
