// swift-tools-version: 6.2
import PackageDescription

let package = Package(
    name: "one-policy",
    traits: [
        .trait(name: "Libvirt", description: "A column for domains that libvirt manages. Needs libvirt-dev.")
    ],
    dependencies: [
        // Outside of this repository: .package(url: "https://github.com/…/custody", from: "0.1.0", traits: …)
        .package(
            name: "custody",
            path: "../..",
            traits: [.trait(name: "Libvirt", condition: .when(traits: ["Libvirt"]))]
        )
    ],
    targets: [
        .executableTarget(
            name: "OnePolicy",
            dependencies: [
                .product(name: "Custody", package: "custody"),
                .product(name: "CustodyConfiguration", package: "custody"),
                .product(name: "CustodyPolicy", package: "custody"),
                .product(name: "KVMBackend", package: "custody"),
                .product(name: "LibvirtBackend", package: "custody", condition: .when(traits: ["Libvirt"])),
                .product(name: "SimulationBackend", package: "custody"),
            ]
        )
    ]
)
