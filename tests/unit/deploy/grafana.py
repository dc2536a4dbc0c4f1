"""What Grafana reads, as far as our files rely on it: unknown names and wrong types are errors.

Written from the types that Grafana publishes, the npm package @grafana/schema 13.2.3 (raw/dashboard and
raw/composable), and for provisioning from the page "Provision Grafana" of its documentation.
"""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class DataSource(Strict):
    type: Literal["prometheus"]
    uid: str


class Place(Strict):
    h: Annotated[int, Field(ge=1)]
    w: Annotated[int, Field(ge=1, le=24)]
    x: Annotated[int, Field(ge=0, le=23)]
    y: Annotated[int, Field(ge=0)]


class Target(Strict):
    refId: str  # noqa: N815  Grafana's names, here and below
    datasource: DataSource
    expr: str
    legendFormat: str = ""  # noqa: N815
    range: bool = False
    instant: bool = False


class Step(Strict):
    color: str
    value: float | int | None


class Thresholds(Strict):
    mode: Literal["absolute", "percentage"]
    steps: Annotated[list[Step], Field(min_length=1)]


class Stacking(Strict):
    mode: Literal["none", "normal", "percent"]
    group: str


class LineStyle(Strict):
    fillOpacity: Annotated[int, Field(ge=0, le=100)]  # noqa: N815
    lineWidth: Annotated[int, Field(ge=0, le=10)]  # noqa: N815
    showPoints: Literal["auto", "never", "always"]  # noqa: N815
    stacking: Stacking


class FieldDefaults(Strict):
    unit: Literal["short", "percentunit", "cps", "reqps", "s", "bytes", "Bps"]
    custom: LineStyle | None = None
    thresholds: Thresholds | None = None
    min: float | int | None = None
    max: float | int | None = None
    decimals: int | None = None


class FieldConfig(Strict):
    defaults: FieldDefaults
    overrides: list[Any]


class Legend(Strict):
    displayMode: Literal["list", "table", "hidden"]  # noqa: N815
    placement: Literal["bottom", "right"]
    showLegend: bool  # noqa: N815
    calcs: list[str]


class Tooltip(Strict):
    mode: Literal["single", "multi", "none"]
    sort: Literal["none", "asc", "desc"]


class LinesOptions(Strict):
    legend: Legend
    tooltip: Tooltip


class Reduce(Strict):
    calcs: list[Literal["lastNotNull", "max", "mean"]]
    fields: str
    values: bool


class StatOptions(Strict):
    reduceOptions: Reduce  # noqa: N815
    colorMode: Literal["none", "value", "background", "background_solid"]  # noqa: N815
    graphMode: Literal["none", "line", "area"]  # noqa: N815
    justifyMode: Literal["auto", "center"]  # noqa: N815
    textMode: Literal["auto", "value", "value_and_name", "name", "none"]  # noqa: N815
    orientation: Literal["auto", "horizontal", "vertical"]


class TextOptions(Strict):
    mode: Literal["markdown", "html", "code"]
    content: str


class Row(Strict):
    id: int
    type: Literal["row"]
    title: str
    collapsed: bool
    gridPos: Place  # noqa: N815
    panels: Annotated[list[Any], Field(max_length=0)]


class Text(Strict):
    id: int
    type: Literal["text"]
    title: str
    gridPos: Place  # noqa: N815
    options: TextOptions


class _Chart(Strict):
    id: int
    title: Annotated[str, Field(min_length=1)]
    description: str
    datasource: DataSource
    gridPos: Place  # noqa: N815
    targets: Annotated[list[Target], Field(min_length=1)]
    fieldConfig: FieldConfig  # noqa: N815


class Lines(_Chart):
    type: Literal["timeseries"]
    options: LinesOptions


class Stat(_Chart):
    type: Literal["stat"]
    options: StatOptions


Panel = Annotated[Row | Text | Lines | Stat, Field(discriminator="type")]


class Chosen(Strict):
    text: str | list[str]
    value: str | list[str]


class VariableQuery(Strict):
    query: str
    refId: str  # noqa: N815


class Variable(Strict):
    name: Annotated[str, Field(pattern=r"^\w+$")]
    label: str
    type: Literal["query"]
    datasource: DataSource
    query: VariableQuery
    refresh: Literal[0, 1, 2]
    sort: Annotated[int, Field(ge=0, le=8)]
    multi: bool
    includeAll: bool  # noqa: N815
    allValue: str | None = None  # noqa: N815
    current: Chosen
    options: list[Chosen]


class Templating(Strict):
    list: list[Variable]


class Annotations(Strict):
    list: Annotated[list[Any], Field(max_length=0)]


class Link(Strict):
    title: str
    type: Literal["link", "dashboards"]
    icon: str
    url: str
    tags: list[str]
    asDropdown: bool  # noqa: N815
    includeVars: bool  # noqa: N815
    keepTime: bool  # noqa: N815
    targetBlank: bool  # noqa: N815
    tooltip: str


class TimeRange(Strict):
    model_config = ConfigDict(populate_by_name=True)
    from_: Annotated[str, Field(alias="from", pattern=r"^now-\d+[mhd]$")]
    to: Literal["now"]


class Dashboard(Strict):
    uid: Annotated[str, Field(pattern=r"^[a-z0-9-]{1,40}$")]
    title: str
    description: str
    tags: list[str]
    schemaVersion: Annotated[int, Field(ge=36)]  # noqa: N815
    version: int
    editable: bool
    graphTooltip: Literal[0, 1, 2]  # noqa: N815
    refresh: Annotated[str, Field(pattern=r"^\d+[sm]$")]
    timezone: Literal["browser", "utc"]
    time: TimeRange
    templating: Templating
    annotations: Annotations
    links: list[Link]
    panels: list[Panel]


class SecureJsonData(Strict):
    basicAuthPassword: str  # noqa: N815


class JsonData(Strict):
    httpMethod: Literal["GET", "POST"]  # noqa: N815
    timeInterval: Annotated[str, Field(pattern=r"^\d+s$")]  # noqa: N815
    prometheusType: Literal["Prometheus", "Mimir", "Cortex", "Thanos"]  # noqa: N815


class ProvisionedSource(Strict):
    name: str
    uid: str
    type: Literal["prometheus"]
    access: Literal["proxy", "direct"]
    url: str
    isDefault: bool  # noqa: N815
    editable: bool
    basicAuth: bool  # noqa: N815
    basicAuthUser: str  # noqa: N815
    secureJsonData: SecureJsonData  # noqa: N815
    jsonData: JsonData  # noqa: N815


class Sources(Strict):
    apiVersion: Literal[1]  # noqa: N815
    datasources: list[ProvisionedSource]


class Path(Strict):
    path: str


class Provider(Strict):
    name: str
    type: Literal["file"]
    folder: str
    allowUiUpdates: bool  # noqa: N815
    updateIntervalSeconds: Annotated[int, Field(ge=1)]  # noqa: N815
    options: Path


class Providers(Strict):
    apiVersion: Literal[1]  # noqa: N815
    providers: list[Provider]
