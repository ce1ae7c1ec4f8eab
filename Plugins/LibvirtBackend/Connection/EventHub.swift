#if Libvirt
import CLibvirt
import Custody

/// The callbacks of one connection, and whoever listens to them.
///
/// Libvirt takes a callback once for a connection, however many want to hear of it. They are registered with the first
/// listener and deregistered with the last: with one registered `virConnectClose` leaves the connection open. Libvirt
/// calls them on the thread of the ``EventLoop``, also for a moment after they were deregistered; each registration keeps
/// the hub alive until libvirt has let go of it.
final class EventHub: Sendable {
    private struct Registration {
        var callbacks: [Int32] = []
        var hearsOfTheEnd = false
        var listeners = 0
    }

    /// Held across calls of libvirt; never taken on its event thread, which may hold locks of libvirt.
    private let registration = Locked(Registration())
    private let buffers = Locked<[ObjectIdentifier: EventBuffer]>([:])

    func add(_ buffer: EventBuffer, of connection: borrowing Connection) throws(VirError) {
        buffers.withLock { $0[ObjectIdentifier(buffer)] = buffer }
        do throws(VirError) {
            try registration.withLock { registration throws(VirError) in
                if registration.listeners == 0 { try register(connection, &registration) }
                registration.listeners += 1
            }
        } catch {
            buffers.withLock { _ = $0.removeValue(forKey: ObjectIdentifier(buffer)) }
            throw error
        }
    }

    func remove(_ buffer: EventBuffer, of connection: borrowing Connection) {
        registration.withLock { registration in
            registration.listeners -= 1
            if registration.listeners == 0 { deregister(connection, &registration) }
        }
        buffers.withLock { _ = $0.removeValue(forKey: ObjectIdentifier(buffer)) }
    }

    fileprivate func deliver(_ event: DomainEvent) {
        for buffer in buffers.withLock({ Array($0.values) }) { buffer.append(event) }
    }

    private func register(
        _ connection: borrowing Connection,
        _ registration: inout Registration
    ) throws(VirError) {
        do throws(VirError) {
            let callbacks = unsafe EventHub.callbacks
            for index in unsafe callbacks.indices {
                let (event, callback) = unsafe callbacks[index]
                let number = try unsafe retained { context throws(VirError) in
                    try connection.gate.number(.eventRegister) {
                        unsafe virConnectDomainEventRegisterAny(
                            connection.pointer,
                            nil,
                            event,
                            callback,
                            context,
                            releaseContext
                        )
                    }
                }
                registration.callbacks.append(number)
            }
            guard connection.isRemote else { return }
            _ = try unsafe retained { context throws(VirError) in
                try connection.gate.number(.closeCallbackRegister) {
                    unsafe virConnectRegisterCloseCallback(connection.pointer, closed, context, releaseContext)
                }
            }
            registration.hearsOfTheEnd = true
            try connection.gate.number(.keepAlive) { unsafe virConnectSetKeepAlive(connection.pointer, 5, 3) }
        } catch {
            deregister(connection, &registration)
            throw error
        }
    }

    private func deregister(_ connection: borrowing Connection, _ registration: inout Registration) {
        for callback in registration.callbacks {
            unsafe virConnectDomainEventDeregisterAny(connection.pointer, callback)
        }
        if registration.hearsOfTheEnd { unsafe virConnectUnregisterCloseCallback(connection.pointer, closed) }
        registration.callbacks = []
        registration.hearsOfTheEnd = false
    }

    /// Keeps the hub for a registration. Where that fails libvirt does not call `releaseContext`, so it is done here.
    private func retained(
        _ register: (UnsafeMutableRawPointer) throws(VirError) -> Int32
    ) throws(VirError) -> Int32 {
        let context = unsafe Unmanaged.passRetained(self)
        do throws(VirError) {
            return try unsafe register(context.toOpaque())
        } catch {
            unsafe context.release()
            throw error
        }
    }

    private static var callbacks: [(Int32, virConnectDomainEventGenericCallback)] {
        unsafe [
            (Int32(VIR_DOMAIN_EVENT_ID_LIFECYCLE.rawValue), unsafeBitCast(lifecycle, to: Generic.self)),
            (Int32(VIR_DOMAIN_EVENT_ID_REBOOT.rawValue), rebooted),
            (Int32(VIR_DOMAIN_EVENT_ID_BALLOON_CHANGE.rawValue), unsafeBitCast(ballooned, to: Generic.self)),
            (Int32(VIR_DOMAIN_EVENT_ID_DEVICE_ADDED.rawValue), unsafeBitCast(added, to: Generic.self)),
            (Int32(VIR_DOMAIN_EVENT_ID_DEVICE_REMOVED.rawValue), unsafeBitCast(removed, to: Generic.self)),
            (
                Int32(VIR_DOMAIN_EVENT_ID_DEVICE_REMOVAL_FAILED.rawValue),
                unsafeBitCast(removalFailed, to: Generic.self)
            ),
            (
                Int32(VIR_DOMAIN_EVENT_ID_MEMORY_DEVICE_SIZE_CHANGE.rawValue),
                unsafeBitCast(memoryDeviceSized, to: Generic.self)
            ),
        ]
    }

    private typealias Generic = virConnectDomainEventGenericCallback
}

// What libvirt calls, on its event thread.

private func report(_ context: UnsafeMutableRawPointer?, _ domain: OpaquePointer?, _ kind: DomainEvent.Kind) {
    guard let context = unsafe context else { return }
    let hub = unsafe Unmanaged<EventHub>.fromOpaque(context).takeUnretainedValue()
    let uuid = unsafe domain.flatMap { unsafe Domain.uuid(of: $0) }
    hub.deliver(DomainEvent(domain: uuid, kind))
}

private func name(_ text: UnsafePointer<CChar>?) -> String { unsafe text.map { unsafe String(cString: $0) } ?? "" }

private typealias Context = UnsafeMutableRawPointer

private let releaseContext: virFreeCallback = { context in
    guard let context = unsafe context else { return }
    unsafe Unmanaged<EventHub>.fromOpaque(context).release()
}

private let closed: virConnectCloseFunc = { _, reason, context in
    unsafe report(context, nil, .disconnected(reason))
}

private let lifecycle: @convention(c) (OpaquePointer?, OpaquePointer?, Int32, Int32, Context?) -> Int32 = {
    unsafe report($4, $1, DomainEvent.Kind(lifecycle: $2, $3))
    return 0
}

private let rebooted: @convention(c) (OpaquePointer?, OpaquePointer?, Context?) -> Void = {
    unsafe report($2, $1, .rebooted)
}

private let ballooned: @convention(c) (OpaquePointer?, OpaquePointer?, UInt64, Context?) -> Void = {
    unsafe report($3, $1, .ballooned(kibibytes: $2))
}

private typealias DeviceCallback =
    @convention(c) (OpaquePointer?, OpaquePointer?, UnsafePointer<CChar>?, Context?)
    -> Void

private let added: DeviceCallback = {
    unsafe report($3, $1, .deviceAdded(DomainEvent.Kind.alias(ofAdded: name($2))))
}

private let removed: DeviceCallback = { unsafe report($3, $1, .deviceRemoved(name($2))) }

private let removalFailed: DeviceCallback = { unsafe report($3, $1, .deviceRemovalFailed(name($2))) }

private let memoryDeviceSized:
    @convention(c) (OpaquePointer?, OpaquePointer?, UnsafePointer<CChar>?, UInt64, Context?) -> Void = {
        unsafe report($4, $1, .memoryDeviceSized(name($2), kibibytes: $3))
    }

#endif
