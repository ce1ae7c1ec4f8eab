#if Libvirt

/// The functions of libvirt's C interface that this package calls, by their names.
package enum LibvirtCall: String, Sendable, Hashable, CaseIterable {
    case eventRegisterDefault = "virEventRegisterDefaultImpl"
    case open = "virConnectOpen"
    case listDomains = "virConnectListAllDomains"
    case capabilities = "virConnectGetCapabilities"
    case domainCapabilities = "virConnectGetDomainCapabilities"
    case eventRegister = "virConnectDomainEventRegisterAny"
    case closeCallbackRegister = "virConnectRegisterCloseCallback"
    case keepAlive = "virConnectSetKeepAlive"
    case lookUpByName = "virDomainLookupByName"
    case lookUpByUUID = "virDomainLookupByUUIDString"
    case define = "virDomainDefineXMLFlags"
    case undefine = "virDomainUndefineFlags"
    case createTransient = "virDomainCreateXML"
    case create = "virDomainCreateWithFlags"
    case destroy = "virDomainDestroyFlags"
    case suspend = "virDomainSuspend"
    case resume = "virDomainResume"
    case reset = "virDomainReset"
    case state = "virDomainGetState"
    case identity = "virDomainGetUUIDString"
    case describe = "virDomainGetXMLDesc"
    case attach = "virDomainAttachDeviceFlags"
    case detach = "virDomainDetachDeviceAlias"
    case update = "virDomainUpdateDeviceFlags"
    case setMemory = "virDomainSetMemoryFlags"
    case peek = "virDomainMemoryPeek"
    case monitor = "virDomainQemuMonitorCommand"
}

#endif
