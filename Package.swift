// swift-tools-version: 6.2
import PackageDescription

/// Settings every Swift target shares: the language as strict as this toolchain can make it.
let strict: [SwiftSetting] = [
    .swiftLanguageMode(.v6),
    .strictMemorySafety(),
    .treatAllWarnings(as: .error),
    .enableUpcomingFeature("ExistentialAny"),
    .enableUpcomingFeature("MemberImportVisibility"),
    .enableUpcomingFeature("InternalImportsByDefault"),
    .enableUpcomingFeature("NonisolatedNonsendingByDefault"),
]

let package = Package(
    name: "custody",
    products: [
        .library(name: "Custody", targets: ["Custody"]),
        .library(name: "CustodyPolicy", targets: ["CustodyPolicy"]),
        .executable(name: "custody", targets: ["CustodyTool"]),
        .library(name: "CustodyConfiguration", targets: ["CustodyConfiguration"]),
        .library(name: "CustodyScenario", targets: ["CustodyScenario"]),
        .library(name: "SimulationBackend", targets: ["SimulationBackend"]),
        .library(name: "LibvirtBackend", targets: ["LibvirtBackend"]),
        .library(name: "CustodyProtocols", targets: ["CustodyProtocols"]),
    ],
    traits: [
        .trait(name: "Libvirt", description: "The back end for domains that libvirt manages. Needs libvirt-dev.")
    ],
    dependencies: [
        .package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.0"),
        .package(url: "https://github.com/apple/swift-collections", from: "1.6.0"),
        .package(url: "https://github.com/apple/swift-system", from: "1.8.0"),
        .package(url: "https://github.com/jpsim/Yams", from: "6.2.0"),
    ],
    targets: [
        .target(name: "Custody", swiftSettings: strict),
        .target(
            name: "CustodyPolicy",
            dependencies: ["Custody", .product(name: "BasicContainers", package: "swift-collections")],
            swiftSettings: strict
        ),
        .target(
            name: "CustodyConfiguration",
            dependencies: [
                "Custody", "CustodyPolicy",
                .product(name: "SystemPackage", package: "swift-system"),
                .product(name: "Yams", package: "Yams"),
            ],
            swiftSettings: strict
        ),
        .target(
            name: "CustodyScenario",
            dependencies: [
                "Custody", "CustodyConfiguration", "CustodyPolicy",
                .product(name: "BasicContainers", package: "swift-collections"),
            ],
            resources: [.embedInCode("Resources/hand-over.yaml"), .embedInCode("Resources/default.yaml")],
            swiftSettings: strict
        ),
        .executableTarget(
            name: "CustodyTool",
            dependencies: [
                "Custody", "CustodyConfiguration", "CustodyPolicy", "CustodyScenario", "SimulationBackend",
                .target(name: "LibvirtBackend", condition: .when(traits: ["Libvirt"])),
                .product(name: "ArgumentParser", package: "swift-argument-parser"),
            ],
            swiftSettings: strict
        ),
        .target(
            name: "SimulationBackend",
            dependencies: ["Custody"],
            path: "Plugins/SimulationBackend",
            swiftSettings: strict
        ),
        .target(
            name: "LibvirtBackend",
            dependencies: ["Custody", .target(name: "CLibvirt", condition: .when(traits: ["Libvirt"]))],
            path: "Plugins/LibvirtBackend",
            swiftSettings: strict
        ),
        .systemLibrary(
            name: "CLibvirt",
            path: "Plugins/CLibvirt",
            pkgConfig: "libvirt",
            providers: [.apt(["libvirt-dev"])]
        ),
        .target(name: "CustodyProtocols", dependencies: ["Custody"], swiftSettings: strict),
    ]
)
