"""The standard objects of the sandbox org, as text: one field a line."""

from __future__ import annotations

# field, type, flags. "ro": nobody writes it. "rest": not part of change events. "req": a create needs it.
# The types person, account_name and address are compounds: REST shows their parts as fields of their own.
AUDIT = """
CreatedDate datetime ro
CreatedById reference ro
LastModifiedDate datetime ro
LastModifiedById reference ro
SystemModstamp datetime ro rest
IsDeleted boolean ro rest
"""
OBJECTS: dict[str, tuple[str, str]] = {
    "Lead": (
        "00Q",
        """
Name person
Title string
Company string req
Address address
Phone phone
MobilePhone phone
Fax phone
Email email
Website url
Description textarea
LeadSource picklist
Status picklist
Industry picklist
Rating picklist
AnnualRevenue currency
NumberOfEmployees int
OwnerId reference
LastActivityDate date ro
IsConverted boolean ro
ConvertedDate date ro
ConvertedAccountId reference ro
ConvertedContactId reference ro
ConvertedOpportunityId reference ro
IsUnreadByOwner boolean
HasOptedOutOfEmail boolean
DoNotCall boolean
MasterRecordId reference ro rest
""",
    ),
    "Account": (
        "001",
        """
Name account_name req
Type picklist
ParentId reference
BillingAddress address
ShippingAddress address
Phone phone
Fax phone
AccountNumber string
Website url
Sic string
Industry picklist
AnnualRevenue currency
NumberOfEmployees int
Ownership picklist
TickerSymbol string
Description textarea
Rating picklist
Site string
OwnerId reference
LastActivityDate date ro
AccountSource picklist
MasterRecordId reference ro rest
""",
    ),
    "Contact": (
        "003",
        """
AccountId reference
Name person
OtherAddress address
MailingAddress address
Phone phone
Fax phone
MobilePhone phone
HomePhone phone
ReportsToId reference
Email email
Title string
Department string
LeadSource picklist
Birthdate date
Description textarea
OwnerId reference
LastActivityDate date ro
HasOptedOutOfEmail boolean
DoNotCall boolean
MasterRecordId reference ro rest
""",
    ),
    "Opportunity": (
        "006",
        """
AccountId reference
Name string req
Description textarea
StageName picklist req
Amount currency
Probability double
CloseDate date req
Type picklist
NextStep string
LeadSource picklist
IsClosed boolean ro
IsWon boolean ro
ForecastCategoryName picklist
OwnerId reference
""",
    ),
    "User": (
        "005",
        """
Username string req
Name person
CompanyName string
Division string
Department string
Title string
Address address
Email email
Phone phone
MobilePhone phone
Alias string
IsActive boolean
TimeZoneSidKey picklist
UserRoleId reference
ProfileId reference
UserType picklist
ManagerId reference
EmployeeNumber string
""",
    ),
    "Task": (
        "00T",
        """
WhoId reference
WhatId reference
Subject string
ActivityDate date
IsReminderSet boolean
ReminderDateTime datetime
Status picklist
Priority picklist
OwnerId reference
Description textarea
IsClosed boolean ro
""",
    ),
    "Case": (
        "500",
        """
Subject string
Status picklist
Origin picklist
Priority picklist
Description textarea
AccountId reference
ContactId reference
SuppliedEmail email
OwnerId reference
IsClosed boolean ro
""",
    ),
    "Campaign": (
        "701",
        """
Name string req
Type picklist
Status picklist
IsActive boolean
OwnerId reference
""",
    ),
    "CampaignMember": (
        "00v",
        """
CampaignId reference req
LeadId reference
ContactId reference
Status picklist
""",
    ),
    "Group": (
        "00G",
        """
Name string req
DeveloperName string
Type picklist
""",
    ),
    "QueueSobject": (
        "03g",
        """
QueueId reference req
SobjectType picklist req
""",
    ),
    "LeadStatus": (
        "01J",
        """
MasterLabel string req
ApiName string req
IsConverted boolean
IsDefault boolean
SortOrder int
""",
    ),
    "AssignmentRule": (
        "01Q",
        """
Name string req
SobjectType picklist
Active boolean
""",
    ),
    "DuplicateRule": (
        "0Bm",
        """
DeveloperName string req
MasterLabel string
SobjectType picklist
IsActive boolean
""",
    ),
    "FlowDefinitionView": (
        "3dd",
        """
ApiName string req
Label string
ProcessType picklist
TriggerType picklist
TriggerObjectOrEventId string
TriggerObjectOrEventLabel string
ActiveVersionId string
IsActive boolean
""",
    ),
    "Flow": (
        "301",
        """
MasterLabel string req
Status picklist
Metadata complexvalue rest
""",
    ),
    "WorkflowRule": (
        "01Q",
        """
Name string req
TableEnumOrId string
Metadata complexvalue rest
""",
    ),
    "WorkflowFieldUpdate": (
        "04Y",
        """
Name string req
SourceTableEnumOrId string
FullName string
Metadata complexvalue rest
""",
    ),
    "ApexTrigger": (
        "01q",
        """
Name string req
TableEnumOrId string
Status picklist
""",
    ),
    "ValidationRule": (
        "03d",
        """
ValidationName string req
EntityDefinitionId string
Active boolean
ErrorMessage textarea
""",
    ),
    "EntityDefinition": (
        "4ie",
        """
DurableId string req
QualifiedApiName string req
Label string
""",
    ),
    "UserPermissionAccess": (
        "0Pa",
        """
PermissionsConvertLeads boolean
""",
    ),
    "PlatformEventChannelMember": (
        "0v8",
        """
DeveloperName string
EventChannel string req
SelectedEntity string req
""",
    ),
}

# What Setup holds and what only joins two records has no change events.
UNTOLD = frozenset(
    {
        "ApexTrigger",
        "AssignmentRule",
        "CampaignMember",
        "DuplicateRule",
        "EntityDefinition",
        "Flow",
        "FlowDefinitionView",
        "Group",
        "LeadStatus",
        "PlatformEventChannelMember",
        "QueueSobject",
        "UserPermissionAccess",
        "ValidationRule",
        "WorkflowFieldUpdate",
        "WorkflowRule",
    }
)
LEAD_STATUSES = ("Open - Not Contacted", "Working - Contacted", "Closed - Converted", "Closed - Not Converted")
CONVERTED = "Closed - Converted"
# Asked through the Tooling API alone.
TOOLING = frozenset(
    {"ApexTrigger", "Flow", "PlatformEventChannelMember", "ValidationRule", "WorkflowFieldUpdate", "WorkflowRule"}
)
