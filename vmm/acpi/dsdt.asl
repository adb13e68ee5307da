/*
 * What cannot be enumerated on the board machine: CPUs, PCI root bus, ECAM, UART, RTC, power button.
 *
 * Addresses are those of dev/pci.h, dev/irq.h and acpi.h; tests/vmm/test_acpi.c compares them.
 *
 * SPDX-License-Identifier: MIT
 */

DefinitionBlock ("", "DSDT", 2, "NOVA", "BOARD", 1)
{
    Name (\_S5, Package () { 5, 0, 0, 0 })

    Scope (\_SB)
    {
        /*
         * CPUs. Those that the MADT lists are there: it is looked at, as its length depends on the machine. Their idle state is HLT,
         * which Linux would use anyway; but without a driver for idle states it waits for one more tick each time.
         */
        OperationRegion (MADT, SystemMemory, 0xE0190, 8)
        Field (MADT, DWordAcc, NoLock, Preserve)
        {
            Offset (4),
            MLEN, 32
        }
        Method (HAVE, 1)
        {
            If (LLess (Add (56, Multiply (Arg0, 8)), MLEN))
            {
                Return (0x0F)
            }
            Return (0)
        }
        Name (IDLE, Package ()
        {
            1,
            Package () { ResourceTemplate () { Register (FFixedHW, 0, 0, 0) }, 1, 1, 0 }
        })
        Device (CPU0) { Name (_HID, "ACPI0007") Name (_UID, 0) Alias (IDLE, _CST) Method (_STA) { Return (HAVE (0)) } }
        Device (CPU1) { Name (_HID, "ACPI0007") Name (_UID, 1) Alias (IDLE, _CST) Method (_STA) { Return (HAVE (1)) } }
        Device (CPU2) { Name (_HID, "ACPI0007") Name (_UID, 2) Alias (IDLE, _CST) Method (_STA) { Return (HAVE (2)) } }
        Device (CPU3) { Name (_HID, "ACPI0007") Name (_UID, 3) Alias (IDLE, _CST) Method (_STA) { Return (HAVE (3)) } }
        Device (CPU4) { Name (_HID, "ACPI0007") Name (_UID, 4) Alias (IDLE, _CST) Method (_STA) { Return (HAVE (4)) } }
        Device (CPU5) { Name (_HID, "ACPI0007") Name (_UID, 5) Alias (IDLE, _CST) Method (_STA) { Return (HAVE (5)) } }
        Device (CPU6) { Name (_HID, "ACPI0007") Name (_UID, 6) Alias (IDLE, _CST) Method (_STA) { Return (HAVE (6)) } }
        Device (CPU7) { Name (_HID, "ACPI0007") Name (_UID, 7) Alias (IDLE, _CST) Method (_STA) { Return (HAVE (7)) } }

        Device (PCI0)
        {
            Name (_HID, EisaId ("PNP0A08"))
            Name (_CID, EisaId ("PNP0A03"))
            Name (_SEG, 0)
            Name (_BBN, 0)
            Name (_UID, 0)
            Name (_CCA, 1)
            Name (_CRS, ResourceTemplate ()
            {
                WordBusNumber (ResourceProducer, MinFixed, MaxFixed, PosDecode, 0, 0, 0, 0, 1)
                DWordMemory (ResourceProducer, PosDecode, MinFixed, MaxFixed, NonCacheable, ReadWrite,
                             0, 0xE1000000, 0xE1FFFFFF, 0, 0x01000000)
            })

            /* PCI Firmware Specification 3.2, 4.5: the guest may control what it asks for, as there is none of it. */
            Method (_OSC, 4)
            {
                If (LEqual (Arg0, ToUUID ("33DB4D5B-1FF7-401C-9657-7441C03DD766")))
                {
                    Return (Arg3)
                }
                CreateDWordField (Arg3, 0, STS0)
                Or (STS0, 4, STS0)
                Return (Arg3)
            }
        }

        /* The ECAM window of bus 0 is no memory. */
        Device (MRES)
        {
            Name (_HID, EisaId ("PNP0C02"))
            Name (_UID, 0)
            Name (_CRS, ResourceTemplate ()
            {
                Memory32Fixed (ReadWrite, 0xE0000000, 0x00100000)
            })
        }

        Device (COM1)
        {
            Name (_HID, EisaId ("PNP0501"))
            Name (_UID, 1)
            Name (_CRS, ResourceTemplate ()
            {
                IO (Decode16, 0x3F8, 0x3F8, 1, 8)
                Interrupt (ResourceConsumer, Edge, ActiveHigh, Exclusive) { 4 }
            })
        }

        Device (RTC0)
        {
            Name (_HID, EisaId ("PNP0B00"))
            Name (_CRS, ResourceTemplate ()
            {
                IO (Decode16, 0x70, 0x70, 1, 2)
            })
        }

        Device (PWRB)
        {
            Name (_HID, EisaId ("PNP0C0C"))
        }

        Device (GED0)
        {
            Name (_HID, "ACPI0013")
            Name (_UID, 0)
            Name (_CRS, ResourceTemplate ()
            {
                Interrupt (ResourceConsumer, Edge, ActiveHigh, Exclusive) { 9 }
            })
            Method (_EVT, 1, Serialized)
            {
                Notify (PWRB, 0x80)
            }
        }
    }
}
